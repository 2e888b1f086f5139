"""The roles of operators, as groups of permissions: viewer, operator, budget owner, admin."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.management import create_permissions

from ai_tasks.oversight.actions import Action

APPS = ("ai_tasks", "queueing", "providers", "chat")
SECRET = {"chunk", "idempotencyrecord", "websocketticket", "apikey"}
"""Models that a viewer has no business with."""
BUDGETS = ("add_budget", "change_budget", "delete_budget")
SETTINGS = ("change_taskqueue", "change_fairshare", "change_provider", "change_circuitrule", "change_webhookdelivery")
"""What operators set in the plain admin's forms."""
COSTS = ("view_costs", "export_costs")

ROLES = ("viewer", "operator", "budget owner", "admin")


def establish(apps: Any) -> None:
    """
    Make the groups that are missing, with their permissions; those that are there are left as they are.

    `apps` may be a migration's: permissions, which Django makes only after all migrations, are made here where missing.
    """
    _make_permissions(apps)
    permissions = list(apps.get_model("auth", "Permission").objects.select_related("content_type"))
    for role in ROLES:
        group, is_new = apps.get_model("auth", "Group").objects.get_or_create(name=role)
        if is_new:
            group.permissions.set(_of(role, permissions))


def _make_permissions(apps: Any) -> None:
    for config in apps.get_app_configs():
        if config.label in (*APPS, "auth"):
            # A migration's stub has no such attribute, and nothing is made for an app without models.
            config.models_module = getattr(config, "models_module", True)
            create_permissions(config, apps=apps, verbosity=0)


def _of(role: str, permissions: Iterable[Any]) -> list[Any]:
    return [each for each in permissions if _has(role, each.content_type.app_label, each.codename)]


def _has(role: str, app: str, codename: str) -> bool:
    if role == "admin":
        return app in APPS or app == "auth"
    if app in APPS[:3] and codename.startswith("view_") and codename[5:] not in SECRET | {"payloads", "costs"}:
        return True
    if role == "operator":
        return codename in {action.codename for action in Action} | set(SETTINGS) | {"view_payloads", "view_costs"}
    return role == "budget owner" and codename in (*BUDGETS, *COSTS)
