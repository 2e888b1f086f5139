"""The task type `embedding.create`, through the walk."""

import pytest
from django.contrib.auth.models import User

from ai_tasks.accounts.models import LedgerEntry
from ai_tasks.errors import InvalidInput
from ai_tasks.models import AIGenerationTask
from ai_tasks.submission import TaskRequest, submit
from ai_tasks.task_types.embedding import LONGEST_TEXT, MOST_TEXTS, unpacked
from config.chaos.invariants import violations_at_rest
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import entry_of, fresh, run_admitted

pytestmark = [pytest.mark.usefixtures("providers_ready"), pytest.mark.django_db(transaction=True)]
QUICK = {"latency_ms": 0}


def embedding(owner: User, *texts: str, **more: object) -> AIGenerationTask:
    given = {"texts": list(texts), "simulate": QUICK} | more
    return submit(owner, TaskRequest(type="embedding.create", input=given, model="simulator/sim-1"))


def test_each_text_has_its_vector_and_the_call_its_charge(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    task = embedding(alice, "a river", "襷", dimensions=16)
    entry = entry_of(task)
    assert (entry.max_output_tokens, entry.estimate_input_tokens > 0) == (0, True)

    assert run_admitted() == 1

    done = fresh(task)
    assert done.output is not None
    first, second = (unpacked(each) for each in done.output["embeddings"])
    assert done.output["dimensions"] == len(first) == len(second) == 16
    assert first != second
    assert done.usage is not None
    assert (done.usage["output_tokens"], done.usage["source"]) == (0, "provider")
    assert LedgerEntry.objects.get().amount_usd == done.cost_usd > 0
    assert violations_at_rest() == []


def test_a_refused_call_fails(alice: User) -> None:
    task = embedding(alice, "a", simulate=QUICK | {"fail": "refusal", "fail_times": 1})

    run_admitted()

    assert fresh(task).status == "failed"
    assert violations_at_rest() == []


@pytest.mark.parametrize(
    "texts",
    [[], [""], ["a"] * (MOST_TEXTS + 1), ["a" * (LONGEST_TEXT + 1)], [5], "a"],
    ids=lambda texts: str(texts)[:9],
)
def test_what_is_no_list_of_texts_is_refused(alice: User, texts: object) -> None:
    with pytest.raises(InvalidInput):
        submit(alice, TaskRequest(type="embedding.create", input={"texts": texts}))
