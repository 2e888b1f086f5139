"""Every address of the site."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path, re_path
from django.utils.translation import gettext_lazy as _

from ai_tasks.api import fallbacks, health
from config import login

admin.site.site_header = admin.site.site_title = "Tasuki"
admin.site.index_title = _("All records")
admin.site.enable_nav_sidebar = False
admin.site.login_form = login.AdminLoginForm

urlpatterns = [
    path("admin/ops/", include("ai_tasks.ops.urls")),
    path("admin/", admin.site.urls),
    path("api/", include("ai_tasks.api.urls")),
    path("v1/", include("ai_tasks.compat.urls")),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path(
        "login/",
        auth.LoginView.as_view(redirect_authenticated_user=True, authentication_form=login.LoginForm),
        name="login",
    ),
    path("login/once/<str:uidb64>/<str:token>/", login.once, name="login-once"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("chat.urls")),
    # Not left to handler404, which DEBUG replaces by its own page.
    re_path("^api/", fallbacks.not_found),
]

handler400 = fallbacks.bad_request
handler403 = fallbacks.permission_denied
handler404 = fallbacks.page_not_found
handler500 = fallbacks.server_error
