"""One-time login links, printed by the command that starts a fresh installation."""

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode


class LoginLinkTokens(PasswordResetTokenGenerator):
    """Signed tokens that die with the next login, and after PASSWORD_RESET_TIMEOUT (a day)."""

    key_salt = "ai_tasks.access.login_links"

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        """With the microseconds of last_login: Django's own leaves them out, and a second is long."""
        return f"{super()._make_hash_value(user, timestamp)}{user.last_login and user.last_login.isoformat()}"


tokens = LoginLinkTokens()


def make_login_link(user: User) -> str:
    """Return the path of a link that logs this user in, once, within a day."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("login-once", kwargs={"uidb64": uid, "token": tokens.make_token(user)})


def redeem(uidb64: str, token: str, now: datetime) -> User | None:
    """Use the link up and return its user, or None. Of several at once one wins: whose UPDATE finds last_login."""
    user = _user_of(uidb64)
    if user is None or not tokens.check_token(user, token):
        return None
    fence = User.objects.filter(pk=user.pk, last_login=user.last_login)
    return user if fence.update(last_login=now) else None


def _user_of(uidb64: str) -> User | None:
    users = User.objects
    try:
        return users.filter(pk=urlsafe_base64_decode(uidb64).decode(), is_active=True).first()
    except (ValueError, OverflowError):
        return None
