"""Operators of the console's tests."""

from datetime import datetime

from django.apps import apps
from django.contrib.auth.models import Group, User

from ai_tasks.ops.audit import By
from ai_tasks.oversight import roles
from tests.engine import NOW


def in_role(role: str, name: str = "carol") -> User:
    """Make a staff user of that role; a flush between tests takes the groups away, so they are made where missing."""
    roles.establish(apps)
    user = User.objects.create_user(name, password="correct horse", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return user


def by(name: str = "carol", reason: str = "Because.", now: datetime = NOW) -> By:
    """Return somebody who wishes something."""
    return By(name, reason, now, user_id=7, request_id="req-1")
