"""Roles: which groups there are after a migration, and what their people may do."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from ai_tasks.oversight import roles
from ai_tasks.oversight.actions import Action
from tests.ai_tasks.ops.people import in_role

pytestmark = pytest.mark.django_db

EVERY_ACTION = {action.permission for action in Action}


def test_the_hand_written_migration_is_still_there() -> None:
    assert ("ai_tasks", "0002_roles_and_guards") in MigrationLoader(connection).disk_migrations


@pytest.mark.parametrize(
    ("role", "may_act", "sees_payloads", "sees_costs", "edits_budgets"),
    [
        ("viewer", False, False, False, False),
        ("operator", True, True, True, False),
        ("budget owner", False, False, True, True),
        ("admin", True, True, True, True),
    ],
)
def test_each_role_may_do_what_it_is_for(
    role: str, may_act: bool, sees_payloads: bool, sees_costs: bool, edits_budgets: bool
) -> None:
    user = in_role(role)

    assert EVERY_ACTION & user.get_all_permissions() == (EVERY_ACTION if may_act else set())
    assert user.has_perm("ai_tasks.view_payloads") is sees_payloads
    assert user.has_perm("ai_tasks.view_costs") is sees_costs
    assert user.has_perm("ai_tasks.change_budget") is edits_budgets
    assert user.has_perms(["queueing.view_taskqueue", "ai_tasks.view_auditentry", "providers.view_provider"])


def test_a_viewer_has_nothing_but_looks_and_no_secrets() -> None:
    names = {name.split(".")[1] for name in in_role("viewer").get_all_permissions()}

    assert all(name.startswith("view_") for name in names)
    assert not names & {"view_chunk", "view_apikey", "view_chatmessage", "view_payloads"}


def test_groups_that_are_there_are_left_as_they_are() -> None:
    roles.establish(apps)
    viewers = Group.objects.get(name="viewer")
    viewers.permissions.set(Permission.objects.filter(codename="view_taskqueue"))

    roles.establish(apps)

    assert [each.codename for each in viewers.permissions.all()] == ["view_taskqueue"]
    assert Group.objects.count() == len(roles.ROLES)


def test_nobody_has_a_role_by_being_staff(db: None) -> None:
    assert not User.objects.create_user("dave", is_staff=True).get_all_permissions()
