"""A dry run: counts by group, who is passed over and why, and what it may cost; nothing moves."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import User

from ai_tasks.errors import UnknownModel
from ai_tasks.models import AIGenerationTask
from ai_tasks.redrives.preview import preview
from queueing.errors import BadFilter
from queueing.models import DeadLetter, QueueEntry, Redrive
from tests.ai_tasks.graves import bury
from tests.engine import at

pytestmark = pytest.mark.usefixtures("providers_ready")

EACH_USD = Decimal("0.0003")
"""1,000 tokens in for 0.10 and 500 out for 0.40 USD a million."""


def test_the_eligible_are_counted_by_group_and_priced(alice: User) -> None:
    bury(alice, 3)
    bury(alice, 2, error_class="overloaded", route=[["simulator", "sim-large"]])

    found = preview({}, now=at(1))

    assert (found.total, found.eligible, found.unpriced, dict(found.skipped)) == (5, 5, 0, {})
    assert [(group["error_class"], group["count"], group["last_hour"]) for group in found.groups] == [
        ("unavailable", 3, 3),
        ("overloaded", 2, 2),
    ]
    assert found.cost_usd == 3 * EACH_USD + 2 * 10 * EACH_USD


def test_who_is_passed_over_is_counted_by_why_and_costs_nothing(alice: User) -> None:
    live, deleted, gone, _ = bury(alice, 4)
    tasks = AIGenerationTask.objects
    tasks.filter(pk=live.pk).update(status="pending", finished_at=None)
    tasks.filter(pk=deleted.pk).update(deleted_at=at(0))
    tasks.filter(pk=gone.pk).delete()

    found = preview({"provider": "simulator"}, now=at(1))

    assert (found.total, found.eligible) == (4, 1)
    assert dict(found.skipped) == {"Its task is pending.": 1, "Its task is deleted.": 2}
    assert found.cost_usd == EACH_USD


def test_the_cost_is_the_new_providers(alice: User) -> None:
    bury(alice, 2)

    assert preview({}, provider="simulator/sim-large", now=at(1)).cost_usd == 20 * EACH_USD
    assert preview({}, provider="fallback", now=at(1)).eligible == 0


def test_what_has_no_price_is_counted_apart(alice: User, unpriced_model: str) -> None:
    bury(alice, 2)

    found = preview({}, provider=unpriced_model, now=at(1))

    assert (found.eligible, found.unpriced, found.cost_usd) == (2, 2, 0)


def test_nothing_moves(alice: User) -> None:
    bury(alice, 2)

    preview({}, now=at(1))

    assert not QueueEntry.objects.exists()
    assert not Redrive.objects.exists()
    assert DeadLetter.objects.open().count() == 2


def test_what_a_redrive_refuses_its_dry_run_refuses(db: None) -> None:
    with pytest.raises(BadFilter):
        preview({"provder": "simulator"}, now=at(1))
    with pytest.raises(UnknownModel):
        preview({}, provider="nobody", now=at(1))
