"""The API's description as a page."""

from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from our own files, without a line of inline script or style."""

    content_negotiation_class = DefaultContentNegotiation
    template_name = "ai_tasks/docs.html"
    url_name = "api:schema"
