"""Budgets in Django admin: limits are the operators', what is spent and held is the system's."""

from collections.abc import Callable, Collection
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ai_tasks import clock
from ai_tasks.access.models import ApiKey
from ai_tasks.accounts import budgets
from ai_tasks.accounts.models import Budget, BudgetAlarm, BudgetPeriod, Hold
from ai_tasks.task_types import registry
from providers import routing
from queueing.admin import ReadOnlyAdmin


def _users(key: str) -> list[str]:
    return [key] if key.isascii() and key.isdecimal() and get_user_model().objects.filter(pk=key).exists() else []


def _keys(key: str) -> list[str]:
    return [key] if key.isascii() and key.isdecimal() and ApiKey.objects.filter(pk=key).exists() else []


KNOWN: dict[str, Callable[[str], Collection[str]]] = {
    Budget.Scope.PROVIDER: lambda _: routing.slugs(),
    Budget.Scope.TASK_TYPE: lambda _: registry.all_types(),
    Budget.Scope.USER: _users,
    Budget.Scope.API_KEY: _keys,
}
"""Among which a budget's key should be, by scope."""


class BudgetForm(forms.ModelForm):
    """A budget, held to what there is: one for a misspelt name would bound nothing."""

    class Meta:
        model = Budget
        fields = ("scope", "scope_key", "interval", "limit_usd", "time_zone", "is_enabled")

    def clean_scope_key(self) -> str:
        """Return the key if there is such a provider, user or task type."""
        key: str = self.cleaned_data["scope_key"].strip()
        known = KNOWN.get(self.cleaned_data.get("scope", ""))
        if key and known is not None and key not in known(key):
            raise forms.ValidationError(
                _("There is no such one: give a provider's name, a user's or an API key's id, or a task type.")
            )
        return key


@admin.register(Budget)
class BudgetAdmin(admin.ModelAdmin):
    """Limits by month or day; a change counts at once, and what waited for it is woken."""

    form = BudgetForm
    list_display = ("scope", "scope_key", "interval", "limit_usd", "time_zone", "is_enabled")
    list_filter = ("scope", "interval", "is_enabled")
    search_fields = ("scope_key",)

    def get_readonly_fields(self, request: HttpRequest, obj: Budget | None = None) -> tuple[str, ...]:
        """A budget that has periods stays what it is; another limit is another budget."""
        return () if obj is None else ("scope", "scope_key", "interval")

    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        """Store the budget, and its limit in the periods that are not over."""
        budgets.store(obj, clock.now())

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Its periods say who paid for what: disable it instead."""
        return False


@admin.register(BudgetPeriod)
class BudgetPeriodAdmin(ReadOnlyAdmin):
    """What each month or day spent and holds."""

    list_display = ("budget", "period", "limit_usd", "spent_usd", "held_usd", "starts_at", "ends_at")
    list_select_related = ("budget",)
    list_filter = ("budget__scope", "budget__interval")
    ordering = ("-ends_at", "budget")


@admin.register(BudgetAlarm)
class BudgetAlarmAdmin(ReadOnlyAdmin):
    """Budgets that were nearly or wholly used."""

    list_display = ("created_at", "period", "percent", "spent_usd", "limit_usd")
    list_filter = ("percent",)
    list_select_related = ("period",)


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    """Money held for attempts."""

    list_display = ("attempt", "period", "amount_usd", "settled_at")
    show_full_result_count = False
