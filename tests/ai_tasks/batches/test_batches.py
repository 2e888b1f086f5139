"""/v1/batches: create, work, see, cancel."""

from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User

from ai_tasks import clock, execution
from ai_tasks.access.models import ApiKey
from ai_tasks.accounts.models import LedgerEntry
from ai_tasks.batches.models import BATCH_MOVES, Batch, BatchStatus
from ai_tasks.models import AIGenerationTask
from config.chaos.invariants import violations_at_rest
from queueing.states import Priority
from tests.ai_tasks.batches.conftest import CHAT, Caller, begun, jsonl, line, lines_in, many, sent, through
from tests.engine import plan

pytestmark = pytest.mark.django_db(transaction=True)


def output(caller: Caller, batch: Any, kind: str = "output") -> list[Any]:
    """Return the lines of one of a batch's files."""
    return lines_in(caller.get(f"files/{batch[f'{kind}_file_id']}/content"))


def ended(caller: Caller, data: str, endpoint: str = CHAT, **members: Any) -> Any:
    """Return a batch that was carried through."""
    made = caller.begin(data, endpoint, **members)
    through(made["id"])
    return caller.get(f"batches/{made['id']}").json()


def test_a_new_batch_is_being_validated(caller: Caller) -> None:
    made = caller.begin(many(2), metadata={"team": "sales"})

    assert (made["object"], made["status"], made["endpoint"], made["completion_window"]) == (
        "batch",
        "validating",
        CHAT,
        "24h",
    )
    assert made["expires_at"] - made["created_at"] == 86_400
    assert made["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert (made["metadata"], made["output_file_id"], made["error_file_id"]) == ({"team": "sales"}, None, None)
    assert caller.get(f"batches/{made['id']}").json() == made


def test_every_request_is_a_task_of_the_lowest_priority_and_is_paid_once(caller: Caller) -> None:
    batch = ended(caller, many(7, priority="urgent"))

    assert (batch["status"], batch["request_counts"]) == ("completed", {"total": 7, "completed": 7, "failed": 0})
    tasks = AIGenerationTask.objects.all()
    assert {(task.type, task.priority, task.owner) for task in tasks} == {
        ("text.generate", Priority.BULK, caller.owner)
    }
    assert {task.api_key for task in tasks} == {ApiKey.objects.get()}
    assert LedgerEntry.objects.count() == 7
    assert batch["usage"]["total_tokens"] == sum(task.usage["total_tokens"] for task in tasks) > 0
    assert violations_at_rest() == []


def test_chat_completions_come_out_in_the_order_of_their_lines(caller: Caller) -> None:
    batch = ended(caller, many(120))

    found = output(caller, batch)
    assert [each["custom_id"] for each in found] == [f"r{number}" for number in range(120)]
    assert batch["error_file_id"] is None
    first = found[0]
    task = AIGenerationTask.objects.get(pk=UUID(first["response"]["request_id"]))
    assert first["error"] is None
    assert first["response"]["status_code"] == 200
    assert first["response"]["body"]["id"] == f"chatcmpl-{task.pk}"
    assert first["response"]["body"]["choices"][0]["message"]["content"] == task.output["text"]
    assert len({each["id"] for each in found}) == 120


def test_embeddings_come_as_numbers_or_in_base64(caller: Caller) -> None:
    endpoint = "/v1/embeddings"

    batch = ended(
        caller, jsonl(line("a", endpoint=endpoint), line("b", endpoint=endpoint, encoding_format="base64")), endpoint
    )

    numbers, text = [each["response"]["body"]["data"][0]["embedding"] for each in output(caller, batch)]
    assert isinstance(numbers[0], float)
    assert isinstance(text, str)


def test_responses_can_be_retrieved_and_gone_on_from(caller: Caller) -> None:
    endpoint = "/v1/responses"
    first = output(caller, ended(caller, jsonl(line("a", endpoint=endpoint, instructions="Be brief.")), endpoint))[0]
    said = first["response"]["body"]

    second = line("b", endpoint=endpoint, previous_response_id=said["id"])
    batch = ended(caller, jsonl(second, line("c", endpoint=endpoint, store=False)), endpoint)

    assert caller.get(f"responses/{said['id']}").json() == said
    going_on, unstored = [each["response"]["body"]["id"] for each in output(caller, batch)]
    turns = AIGenerationTask.objects.get(pk=UUID(going_on.removeprefix("resp_"))).input["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert caller.get(f"responses/{unstored}").status_code == 404


def test_one_bad_request_does_not_hurt_the_others(caller: Caller, bob: User) -> None:
    data = jsonl(
        line("good"),
        line("streams", stream=True),
        line("no model", model="nobody/nothing"),
        line("unknown", colour="blue"),
        line("too deep a wish", max_tokens=-1),
        line("fails", simulate={"fail": "bad_request"}),
        line("too", messages=[]),
        line("also good"),
    )

    batch = ended(caller, data)

    assert batch["request_counts"] == {"total": 8, "completed": 2, "failed": 6}
    assert [each["custom_id"] for each in output(caller, batch)] == ["good", "also good"]
    found = output(caller, batch, "error")
    told = [(each["custom_id"], each["response"]["status_code"]) for each in found]
    assert told == [
        ("streams", 400),
        ("no model", 404),
        ("unknown", 400),
        ("too deep a wish", 400),
        ("fails", 400),
        ("too", 400),
    ]
    assert all(each["response"]["body"]["error"]["message"] for each in found)
    assert {each["error"] for each in found} == {None}


def test_a_batch_that_fails_says_where(caller: Caller) -> None:
    batch = ended(caller, jsonl(line("a"), line("a")))

    assert (batch["status"], batch["in_progress_at"], batch["output_file_id"]) == ("failed", None, None)
    assert batch["failed_at"] is not None
    assert batch["errors"] == {
        "object": "list",
        "data": [
            {
                "code": "duplicate_custom_id",
                "line": 2,
                "message": "Another request of the batch has the same custom_id.",
                "param": "custom_id",
            }
        ],
    }


def test_what_a_batch_writes_is_kept_as_long_as_asked(caller: Caller) -> None:
    batch = ended(caller, many(1), output_expires_after={"anchor": "created_at", "seconds": 3_600})

    file = caller.get(f"files/{batch['output_file_id']}").json()
    assert (file["purpose"], file["expires_at"] - file["created_at"]) == ("batch_output", 3_600)
    assert file["bytes"] == len(sent(caller.get(f"files/{file['id']}/content"))) > 0


def test_the_input_may_be_deleted_as_soon_as_the_batch_is_made(caller: Caller) -> None:
    made = caller.begin(many(3))

    caller.delete(f"files/{made['input_file_id']}")

    assert through(made["id"]).completed == 3


@pytest.mark.parametrize(
    ("members", "status", "param"),
    [
        ({"endpoint": "/v1/completions"}, 400, "endpoint"),
        ({"endpoint": ["/v1/embeddings"]}, 400, "endpoint"),
        ({"completion_window": "1h"}, 400, "completion_window"),
        ({"input_file_id": "a" * 101}, 400, "input_file_id"),
        ({"input_file_id": None}, 400, "input_file_id"),
        ({"completion_window": None}, 400, "completion_window"),
        ({"input_file_id": 7}, 400, "input_file_id"),
        ({"input_file_id": "file-nothing"}, 404, None),
        ({"metadata": {"a": 1}}, 400, "metadata.a"),
        ({"metadata": "a"}, 400, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, 400, "output_expires_after.seconds"),
        ({"output_expires_after": 3600}, 400, "output_expires_after"),
        ({"colour": "blue"}, 400, "colour"),
    ],
)
def test_what_is_wrong_with_the_wish_is_said(caller: Caller, members: Any, status: int, param: Any) -> None:
    file_id = caller.upload(many(1)).json()["id"]
    asked = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"} | members

    answer = caller.post("batches", asked)

    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    assert not Batch.objects.exists()


def test_a_batch_needs_an_own_file_of_requests(caller: Caller, bob: User) -> None:
    bobs = Caller(bob).upload(many(1)).json()["id"]
    answers = ended(caller, many(1))["output_file_id"]

    for file_id in (bobs, answers):
        asked = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"}
        assert caller.post("batches", asked).status_code == 404
    assert caller.post("batches", ["a"]).status_code == 400


def test_the_same_wish_again_gives_the_same_batch(caller: Caller) -> None:
    file_id = caller.upload(many(1)).json()["id"]
    asked = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"}
    once = {"Idempotency-Key": "once"}

    first, again = caller.post("batches", asked, headers=once), caller.post("batches", asked, headers=once)

    assert again.json() == first.json()
    assert again["Idempotency-Replayed"] == "true"
    assert caller.post("batches", asked | {"metadata": {"a": "b"}}, headers=once).status_code == 400
    assert Batch.objects.count() == 1


def test_batches_are_listed_newest_first_in_pages(caller: Caller, bob: User) -> None:
    ids = [caller.begin(many(1))["id"] for _ in range(3)]
    Caller(bob).begin(many(1))

    first = caller.get("batches", limit=2).json()
    rest = caller.get("batches", after=first["last_id"]).json()

    assert [each["id"] for each in first["data"]] == [ids[2], ids[1]]
    assert ([each["id"] for each in rest["data"]], first["has_more"], rest["has_more"]) == ([ids[0]], True, False)
    assert caller.get("batches", limit=101).status_code == 400


def test_a_cancelled_batch_keeps_what_was_done(caller: Caller) -> None:
    made = caller.begin(many(3))
    begun(Batch.objects.get())
    (first,) = plan(now=clock.now(), limit=1).dispatches
    execution.run(first.task_id, first.epoch, first.dispatch_id)

    cancelled = caller.post(f"batches/{made['id']}/cancel").json()

    assert (cancelled["status"], cancelled["cancelling_at"] is not None) == ("cancelling", True)
    assert caller.post(f"batches/{made['id']}/cancel").json()["status"] == "cancelling"
    through(made["id"])
    ended = caller.get(f"batches/{made['id']}").json()
    assert (ended["status"], ended["cancelled_at"] is not None) == ("cancelled", True)
    assert caller.post(f"batches/{made['id']}/cancel").json() == ended
    errors = output(caller, ended, "error")
    assert (len(output(caller, ended)), len(errors)) == (1, 2)
    assert ended["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
    assert {each["error"]["code"] for each in errors} == {"batch_cancelled"}
    assert {each["response"] for each in errors} == {None}
    assert not AIGenerationTask.objects.active().exists()
    assert violations_at_rest() == []


@pytest.mark.parametrize("status", ["completed", "failed", "expired", "finalizing"])
def test_it_can_be_too_late_to_cancel(caller: Caller, status: str) -> None:
    made = caller.begin(many(1))
    Batch.objects.update(status=status, finished_at=clock.now())

    answer = caller.post(f"batches/{made['id']}/cancel")

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_possible")
    assert Batch.objects.get().status == status


def test_every_status_has_its_moves() -> None:
    ends = {BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.EXPIRED, BatchStatus.CANCELLED}

    assert set(BATCH_MOVES) == set(BatchStatus) - ends
    assert {after for moves in BATCH_MOVES.values() for after in moves} == set(BatchStatus) - {BatchStatus.VALIDATING}
