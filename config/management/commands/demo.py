"""The command `demo`."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ai_tasks import clock
from config import demo, outage, welcome


class Command(BaseCommand):
    """`manage.py demo`."""

    help = (
        "Write a week of history, so that there is something to see: four hundred tasks of four users, dead letters, "
        "statistics, costs, and three chats of the administrator. For an installation that is looked at, not used. "
        "With --outage, let a simulated provider fail for a minute instead, and tell where to look meanwhile."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take which provider is to fail, if any."""
        parser.add_argument("--outage", metavar="PROVIDER", help="let this simulated provider fail, and come back")
        parser.add_argument("--seconds", type=int, default=60, help="how long it is away (default: 60)")
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of the web server, for the links")

    def handle(self, *, seconds: int, url: str, **options: Any) -> None:
        """Write it, or break and mend, with progress."""
        if options["outage"]:
            self._break(options["outage"], max(1, min(seconds, 600)), url)
            return
        try:
            count = demo.seed(lambda text: self.stderr.write(text), now=clock.now())
        except demo.OtherWork as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{count} tasks. See /admin/ops/ and /chat/.")

    def _break(self, provider: str, seconds: int, url: str) -> None:
        # An embedded installation's workers are in another process, whose dispatcher is the one that reaches them.
        settings.AI_DISPATCHER = False
        try:
            seen = outage.tour(provider, welcome.admin_user(), self._say, seconds=seconds, url=url)
        except outage.NoTour as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{seen.tasks} tasks were accepted, {seen.completed} are completed, {seen.tasks - seen.completed} are not; "
            f"{seen.tried_again} were tried again. The audit has what was done to the provider."
        )

    def _say(self, text: str) -> None:
        """Print at once, also into a pipe."""
        self.stdout.write(text)
        self.stdout.flush()
