"""The command `forget_user`."""

import json
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from ai_tasks import clock, forgetting
from chat import conversation
from chat.models import ChatSession


class Command(BaseCommand):
    """`manage.py forget_user`."""

    help = (
        "Take a user's text, files, name and credentials away, for good; the bill stays, under a number. "
        "Without --yes it only says what there is."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take who, and whether it is meant."""
        parser.add_argument("username", metavar="USER")
        parser.add_argument("--yes", action="store_true", help="do it")
        parser.add_argument("--json", action="store_true", help="print JSON alone")

    def handle(self, *, username: str, yes: bool, **options: Any) -> None:
        """Count or forget."""
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is no user {username!r}.")
        if user.is_superuser and yes:
            raise CommandError(f"{username} is a superuser. Take that right away first, in admin, and try again.")
        counts = {**forgetting.what(user), "chats": ChatSession._base_manager.filter(owner=user).count()}
        live = forgetting.forget(user, clock.now()) if yes else 0
        if yes:
            conversation.forget(user)
        self.stdout.write(json.dumps(counts) if options["json"] else self._words(counts, yes))
        if live:
            raise CommandError(f"{live} still have to end. In a minute, run it again for forgotten-{user.pk}.")

    def _words(self, counts: dict[str, int], is_done: bool) -> str:
        told = [f"{name.replace('_', ' ')}: {count:,}" for name, count in counts.items()]
        return "\n".join([*told, "Forgotten." if is_done else "Nothing was changed: add --yes."])
