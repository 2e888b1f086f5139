"""Print where to look, a one-time login link, an API key and a curl line."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from config.welcome import welcome


class Command(BaseCommand):
    """`manage.py welcome`."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the address at which people reach the web server."""
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of the web server")

    def handle(self, *, url: str, **_: Any) -> None:
        """Print it."""
        self.stdout.write(welcome(url.rstrip("/")))
