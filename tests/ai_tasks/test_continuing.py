"""A route that goes on from an answer that broke off: the client keeps what it has seen."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks import clock
from ai_tasks.models import AIGenerationTask, Attempt, Chunk
from ai_tasks.representation import task_json
from config.chaos.invariants import violations_at_rest
from providers import control
from providers.models import Route
from tests.engine import entry_of, fresh, run_admitted, text_task

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("second_provider")]

TEXT = "one two three four five six seven eight"
CUT = {"text": TEXT, "fail": "cut", "fail_times": 1, "fail_after_tokens": 4, "latency_ms": 0, "tokens_per_second": 0}


@pytest.fixture(autouse=True)
def _goes_on(second_provider: None) -> None:
    Route.objects.filter(alias="both").update(after_cut="continue")


def cut(owner: User, **wish: Any) -> AIGenerationTask:
    """Return a task of the route whose first answer broke off after four tokens."""
    given = {"simulate": {**CUT, **wish.pop("simulate", {})}, **wish}
    task = text_task(owner, model="both", now=clock.now(), **given)
    assert run_admitted() == 1
    return fresh(task)


def kinds(task: AIGenerationTask) -> list[str]:
    return [piece.kind for piece in Chunk.objects.after(task.pk, 0)]


def seen(task: AIGenerationTask) -> str:
    return "".join(piece.data for piece in Chunk.objects.after(task.pk, 0) if piece.kind == "text")


def test_the_next_attempt_says_the_rest(alice: User) -> None:
    task = cut(alice)
    assert 0 < len(seen(task)) < len(TEXT)

    assert run_admitted("second") == 1

    done = fresh(task)
    assert (done.status, done.provider, done.output["text"]) == ("completed", "second", TEXT)
    assert (seen(task), set(kinds(task))) == (TEXT, {"text"})
    assert violations_at_rest() == []


def test_what_was_said_is_paid_as_input_and_within_what_is_held(alice: User) -> None:
    task = cut(alice, max_output_tokens=50)
    reserved = entry_of(task).estimate_tokens

    run_admitted("second")

    first, second = Attempt.objects.filter(task=task).order_by("epoch")
    assert second.input_tokens > first.input_tokens
    assert second.output_tokens < first.output_tokens + second.output_tokens
    assert second.input_tokens + second.output_tokens <= reserved
    assert all(each["cost_usd"] for each in task_json(fresh(task))["attempts"])


def test_an_answer_that_breaks_off_twice_is_still_whole(alice: User) -> None:
    task = cut(alice, simulate={"fail_times": 2})
    run_admitted("second")
    assert fresh(task).status == "pending"
    entry = entry_of(task)
    type(entry).objects.filter(pk=entry.pk).update(state="waiting", parked_reason="", parked_until=None)

    run_admitted("second")

    assert (fresh(task).output["text"], seen(task), set(kinds(task))) == (TEXT, TEXT, {"text"})


@pytest.mark.parametrize(
    "wish",
    [
        {"simulate": {"text": "one two three \n\n\n four five", "fail_after_tokens": 6}},
        {"simulate": {"reasoning": "Hm.", "fail": "cut", "fail_times": 1}, "max_output_tokens": 4},
    ],
    ids=["it ends in white space", "no room is left"],
)
def test_where_it_cannot_go_on_it_begins_anew_and_says_so(alice: User, wish: dict[str, Any]) -> None:
    task = cut(alice, **wish)

    run_admitted("second")

    assert "reset" in kinds(task)
    after_reset = Chunk.objects.after(task.pk, 0)
    place = next(number for number, piece in enumerate(after_reset) if piece.kind == "reset")
    assert "".join(piece.data for piece in after_reset[place:] if piece.kind == "text") == fresh(task).output["text"]


def test_a_provider_whose_models_do_not_go_on_begins_anew(alice: User, settings: Any) -> None:
    settings.AI_PROVIDERS = {
        "simulator": {"adapter": "simulator"},
        "second": {"adapter": "simulator", "options": {"continues": False}},
    }
    control.ensure_providers(clock.now())
    task = cut(alice)

    run_admitted("second")

    assert ("reset" in kinds(task), fresh(task).output["text"]) == (True, TEXT)


def test_an_answer_that_was_refused_half_way_is_not_gone_on_with(alice: User) -> None:
    Route.objects.filter(alias="both").update(on_error={"content_refused": "fall_back"})
    task = cut(alice, simulate={"fail": "refusal"})

    run_admitted("second")

    assert ("reset" in kinds(task), fresh(task).output["text"]) == (True, TEXT)


def test_a_route_that_says_nothing_begins_anew(alice: User) -> None:
    Route.objects.filter(alias="both").update(after_cut="restart")
    task = cut(alice)

    run_admitted("second")

    assert ("reset" in kinds(task), fresh(task).output["text"]) == (True, TEXT)
