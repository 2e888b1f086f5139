"""The command `demo`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ai_tasks import clock
from config import demo


class Command(BaseCommand):
    """`manage.py demo`."""

    help = (
        "Write a week of history, so that there is something to see: four hundred tasks of four users, dead letters, "
        "statistics, costs, and three chats of the administrator. For an installation that is looked at, not used."
    )

    def handle(self, **_: Any) -> None:
        """Write it, with progress."""
        try:
            count = demo.seed(lambda text: self.stderr.write(text), now=clock.now())
        except demo.OtherWork as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{count} tasks. See /admin/ops/ and /chat/.")
