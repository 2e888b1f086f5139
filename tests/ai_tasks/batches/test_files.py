"""/v1/files: upload, list, retrieve, content, delete."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile

from ai_tasks import clock, retention
from ai_tasks.batches.models import FileBlock, StoredFile
from tests.ai_tasks.batches.conftest import Caller, batch_of, many, sent, stored

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)


def test_a_file_comes_back_to_the_byte(caller: Caller) -> None:
    data = bytes(range(256)) * 4_000

    made = caller.upload(data, name="requests.jsonl").json()

    assert (made["object"], made["purpose"], made["status"]) == ("file", "batch", "processed")
    assert (made["filename"], made["bytes"]) == ("requests.jsonl", len(data))
    assert made["expires_at"] - made["created_at"] == 30 * 86_400
    assert caller.get(f"files/{made['id']}").json() == made
    content = caller.get(f"files/{made['id']}/content")
    assert (sent(content), content["Content-Length"]) == (data, str(len(data)))
    assert FileBlock.objects.count() == 4


def test_what_is_wrong_with_a_form_is_said(caller: Caller) -> None:
    file = SimpleUploadedFile("a", b"a")

    def refused(**form: Any) -> tuple[int, str | None]:
        answer = caller.client.post("/v1/files", form, headers=caller.headers)
        return answer.status_code, answer.json()["error"]["param"]

    assert refused(purpose="fine-tune", file=file) == (400, "purpose")
    assert refused(file=SimpleUploadedFile("a", b"a")) == (400, "purpose")
    assert refused(purpose="batch") == (400, "file")
    assert refused(purpose="batch", file="text") == (400, "file")
    assert refused(purpose="batch", file=SimpleUploadedFile("a", b"")) == (400, "file")
    assert refused(purpose="batch", colour="blue", file=SimpleUploadedFile("a", b"a")) == (400, "colour")
    assert caller.post("files", {"purpose": "batch"}).status_code == 415
    assert not StoredFile.objects.exists()


@pytest.mark.parametrize(
    ("anchor", "seconds", "is_good"),
    [
        ("created_at", "3600", True),
        ("created_at", "3599", False),
        ("created_at", "9" * 30, False),
        ("created_at", "x", False),
        ("last_used_at", "3600", False),
        (None, "3600", False),
        ("created_at", None, False),
    ],
)
def test_who_uploads_may_say_how_long_it_is_kept(caller: Caller, anchor: Any, seconds: Any, is_good: bool) -> None:
    given = {"expires_after[anchor]": anchor, "expires_after[seconds]": seconds}

    answer = caller.upload("a", **{name: value for name, value in given.items() if value})

    assert answer.status_code == (200 if is_good else 400)
    if is_good:
        assert answer.json()["expires_at"] - answer.json()["created_at"] == 3_600


def test_a_file_or_all_of_them_can_be_too_large(caller: Caller, settings: Any) -> None:
    settings.AI_FILE_BYTES, settings.AI_FILES_BYTES_PER_USER = 10, 15

    answers = [caller.upload(b"a" * size).status_code for size in (11, 10, 6, 5)]

    assert answers == [413, 200, 413, 200]
    assert FileBlock.objects.count() == 2


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\x00b", "a\r\nX: y", "\u202etxt.exe", "名" * 300])
def test_a_hostile_name_is_only_a_name(caller: Caller, name: str) -> None:
    answer = caller.upload("a", name=name)

    if answer.status_code == 200:
        kept = answer.json()["filename"]
        assert not set(kept) & set("/\\\x00\r\n\u202e")
        assert len(kept) <= 200
        assert caller.get(f"files/{answer.json()['id']}/content").status_code == 200
    else:
        assert answer.status_code == 400


def test_the_same_upload_again_gives_the_same_file(caller: Caller) -> None:
    once = {"Idempotency-Key": "once"}

    first, again, other = [caller.upload(data, headers=once) for data in ("a", "a", "b")]

    assert again.json() == first.json()
    assert (again["Idempotency-Replayed"], other.status_code) == ("true", 400)
    assert (StoredFile.objects.count(), FileBlock.objects.count()) == (1, 1)


def test_files_are_listed_newest_first_in_pages(caller: Caller, bob: User) -> None:
    ids = [caller.upload(str(number)).json()["id"] for number in range(3)]
    Caller(bob).upload("mine")

    first = caller.get("files", limit=2).json()
    rest = caller.get("files", limit=2, after=first["last_id"]).json()

    assert [each["id"] for each in first["data"]] == [ids[2], ids[1]]
    assert (first["has_more"], first["first_id"]) == (True, ids[2])
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == ([ids[0]], False)
    assert [each["id"] for each in caller.get("files", order="asc").json()["data"]] == ids
    assert caller.get("files", purpose="batch_output").json()["data"] == []
    assert caller.get("files", purpose="vision\x00").json()["data"] == []


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 10_001}, {"limit": "x"}, {"after": "x"}, {"order": "up"}])
def test_a_list_says_what_is_wrong_with_its_question(caller: Caller, query: Any) -> None:
    answer = caller.get("files", **query)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(query)))


def test_a_deleted_file_is_gone(caller: Caller) -> None:
    file_id = caller.upload("a").json()["id"]

    answer = caller.delete(f"files/{file_id}")

    assert answer.json() == {"id": file_id, "object": "file", "deleted": True}
    assert caller.delete(f"files/{file_id}").status_code == 404
    assert caller.get(f"files/{file_id}").status_code == caller.get(f"files/{file_id}/content").status_code == 404
    assert caller.get("files").json()["data"] == []


def test_nobody_sees_a_file_that_is_being_written_or_has_expired(caller: Caller, alice: User) -> None:
    file = stored(alice, b"a", now=clock.now())

    def is_there() -> bool:
        return bool(caller.get(f"files/file-{file.pk}").status_code == 200)

    assert is_there()
    for change in ({"is_whole": False}, {"is_whole": True, "expires_at": clock.now() - DAY}):
        StoredFile.objects.filter(pk=file.pk).update(**change)
        assert not is_there()
    StoredFile.objects.update(expires_at=clock.now() + DAY)
    assert is_there()


def test_old_files_are_pruned_unless_a_live_batch_reads_them(alice: User) -> None:
    now = clock.now()
    kept, read, deleted, expired, broken_off, uploading = [stored(alice, b"a", now=now - 2 * DAY) for _ in range(6)]
    batch = batch_of(alice, many(1), now=now)
    files = StoredFile.objects
    type(batch).objects.update(input_file_id=read.pk)
    files.filter(pk__in=(read.pk, deleted.pk)).update(deleted_at=now)
    files.filter(pk=expired.pk).update(expires_at=now)
    files.filter(pk=broken_off.pk).update(is_whole=False)
    files.filter(pk=uploading.pk).update(is_whole=False, created_at=now)

    counts = retention.prune(now)

    assert counts["files"] == 3
    left = set(files.values_list("pk", flat=True))
    assert {kept.pk, read.pk, uploading.pk} <= left
    assert not left & {deleted.pk, expired.pk, broken_off.pk}
    assert set(FileBlock.objects.values_list("file_id", flat=True)) == left
