"""Budgets over HTTP: a caller's own, and all of them for operators."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ai_tasks import clock
from ai_tasks.accounts import budgets
from ai_tasks.accounts.fields import plain_usd
from ai_tasks.accounts.models import Budget, BudgetPeriod
from ai_tasks.api import documents
from ai_tasks.api.authentication import HasScope, scopes_of, user_of
from ai_tasks.api.filters import PAGING, wrong
from ai_tasks.pagination import page
from ai_tasks.representation import moment

NEAR_PERCENT = 80


class BudgetCollection(APIView):
    """`/budgets`"""

    permission_classes = (HasScope,)
    scope = "tasks"

    @extend_schema(
        operation_id="listBudgets",
        summary="List budgets with what they have left",
        parameters=[
            OpenApiParameter(
                "scope", {"type": "string", "enum": Budget.Scope.values}, description="Only of this kind."
            ),
            OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 100}),
            OpenApiParameter("cursor", str, description="The `next` of the page before."),
        ],
        responses={200: documents.BudgetList, **documents.problem_answers(422)},
    )
    def get(self, request: Request) -> Response:
        """Return the budgets of the caller and their keys; for staff with the scope `operations`, all; newest first."""
        now = clock.now()
        rows = Budget.objects.all()
        if not (user_of(request).is_staff and "operations" in scopes_of(request)):
            rows = budgets.of_user(user_of(request).pk)
        rows = _narrowed(rows, request.query_params)
        return Response(page(rows, request.query_params, lambda found: shapes_of(found, now)))


def _narrowed(rows: QuerySet[Budget], query: Mapping[str, str]) -> QuerySet[Budget]:
    for name in query:
        if name not in ("scope", *PAGING):
            raise wrong(name, "unknown parameter")
    scope = query.get("scope")
    if scope is not None and scope not in Budget.Scope.values:
        raise wrong("scope", f"not one of {', '.join(Budget.Scope.values)}")
    return rows if scope is None else rows.filter(scope=scope)


def shapes_of(found: list[Budget], now: datetime) -> list[dict[str, Any]]:
    """Return the documents of budgets, with what this month or day has left."""
    return [_shape(period) for period in budgets.read_periods(found, now)]


def _shape(period: BudgetPeriod) -> dict[str, Any]:
    budget = period.budget
    return {
        "object": "budget",
        "id": budget.pk,
        "scope": budget.scope,
        "key": budget.scope_key,
        "interval": budget.interval,
        "time_zone": budget.time_zone,
        "state": _state(period),
        "period": period.period,
        "limit_usd": plain_usd(budget.limit_usd),
        "spent_usd": plain_usd(period.spent_usd),
        "held_usd": plain_usd(period.held_usd),
        "used_usd": plain_usd(period.used_usd),
        "left_usd": plain_usd(max(period.limit_usd - period.used_usd, budgets.ZERO)),
        "starts_at": moment(period.starts_at),
        "resets_at": moment(period.ends_at),
    }


def _state(period: BudgetPeriod) -> str:
    if not period.budget.is_enabled:
        return "disabled"
    if period.used_usd >= period.limit_usd:
        return "exhausted"
    return "near_limit" if period.used_usd * 100 >= period.limit_usd * NEAR_PERCENT else "available"
