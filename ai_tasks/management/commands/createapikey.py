"""`manage.py createapikey USER`"""

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ai_tasks import clock
from ai_tasks.access import keys
from queueing.states import Priority


class Command(BaseCommand):
    """Make an API key; the key alone stands on the last line of the output."""

    help = "Make an API key for a user. The key is shown once, alone on the last line."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("username", metavar="USER")
        parser.add_argument("--name", default="created on the command line", help="what the key is for")
        parser.add_argument("--expires-days", type=int, help="how many days it is valid (default: until revoked)")
        parser.add_argument("--scope", action="append", choices=keys.SCOPES, help="repeatable (default: all but keys)")
        parser.add_argument("--requests-per-minute", type=int, help="how often it may call (default: as set up)")
        parser.add_argument(
            "--priority-ceiling",
            choices=[priority.word for priority in Priority],
            default=Priority.HIGH.word,
            help="the most urgent priority its tasks may have (default: high)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the key."""
        users = get_user_model()
        owner = users.objects.filter(**{users.USERNAME_FIELD: options["username"]}).first()
        if owner is None:
            raise CommandError(f"There is no user {options['username']!r}.")
        if not owner.is_active:
            raise CommandError(f"The user {options['username']!r} is not active.")
        key, text = keys.create(
            owner,
            options["name"],
            scopes=options["scope"] or keys.USUAL_SCOPES,
            priority_ceiling=Priority.from_word(options["priority_ceiling"]),
            requests_per_minute=_pace(options["requests_per_minute"]),
            expires_at=_expiry(options["expires_days"]),
        )
        self.stdout.write(f"API key of {options['username']}: {key.name}. It is not shown again:")
        self.stdout.write(text)


def _pace(calls: int | None) -> int | None:
    if calls is not None and not 1 <= calls <= keys.MOST_REQUESTS_PER_MINUTE:
        raise CommandError(f"--requests-per-minute must be 1 to {keys.MOST_REQUESTS_PER_MINUTE}.")
    return calls


def _expiry(days: int | None) -> Any:
    if days is None:
        return None
    if not 1 <= days <= 36_500:
        raise CommandError("--expires-days must be 1 to 36500.")
    return clock.now() + timedelta(days=days)
