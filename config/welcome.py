"""What a start prints: where to look, how to get in, what to paste."""

from datetime import timedelta

from django.contrib.auth.models import User

from ai_tasks import clock
from ai_tasks.access import keys, login_links

KEY_LIFE = timedelta(days=30)

TEXT = """
Tasuki is running. Ctrl-C stops it; accepted tasks are kept and go on at the next start.

  Chat        {url}/
  Admin       {url}/admin/
  API docs    {url}/api/docs/
  Login link  {url}{link}
              (once, within 24 hours; user "admin")
  API key     {key}
              (valid for 30 days; `manage.py createapikey admin` makes another)

Try it:

  curl -s '{url}/api/v1/tasks?wait=30' -H 'Authorization: Bearer {key}' \\
    -H 'Content-Type: application/json' -d '{{"type": "text.generate", "input": {{"prompt": "What is a tasuki?"}}}}'
"""


def admin_user() -> User:
    """Return the user "admin", made without a password where there is none."""
    admin, made = User.objects.get_or_create(username="admin", defaults={"is_staff": True, "is_superuser": True})
    if made:
        admin.set_unusable_password()
        admin.save(update_fields=["password"])
    return admin


def welcome(url: str) -> str:
    """Make sure that there is an admin, give them a new login link and API key, and return the text that tells so."""
    admin = admin_user()
    _, key = keys.create(admin, "printed at start", expires_at=clock.now() + KEY_LIFE)
    return TEXT.format(url=url, link=login_links.make_login_link(admin), key=key)
