"""get_dlq_items and get_dlq_groups: filters that are checked, an order that is total, counts by age."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from queueing.dead_letters.filters import checked
from queueing.errors import BadFilter
from queueing.models import DeadLetter, TaskQueue
from queueing.states import Lane
from tests.engine import NOW, at
from tests.queueing.conftest import bury

find = TaskQueue.objects.get_dlq_items


def test_open_letters_are_listed_newest_first(db: None) -> None:
    first, second, third = bury(), bury(), bury()
    TaskQueue.objects.discard_from_dlq([second], by="bob", reason="Old.", now=NOW)

    assert list(find()) == [third, first]
    assert list(find(limit=1)) == [third]


@pytest.mark.parametrize(
    ("filters", "of_letter"),
    [
        ({"provider": "second"}, {"provider": "second"}),
        ({"model": ["sim-2", "sim-3"]}, {"model": "sim-2"}),
        ({"task_type": "chat.reply"}, {"type": "chat.reply"}),
        ({"lane": "long"}, {"lane": Lane.LONG}),
        ({"owner": "2"}, {"owner_id": 2}),
        ({"reason": "crashed"}, {"reason": "crashed"}),
        ({"error_class": "overloaded"}, {"error_class": "overloaded"}),
        ({"created_after": at(5)}, {"now": at(5)}),
        ({"created_before": "2026-11-23T15:00:00+09:00"}, {"now": at(-1)}),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_each_filter_leaves_what_it_names(db: None, filters: dict[str, Any], of_letter: dict[str, Any]) -> None:
    bury()
    wanted = bury(**of_letter)

    assert list(find(filters)) == list(find(**filters)) == [wanted]


def test_letters_are_found_by_their_ids_their_tasks_ids_and_their_fingerprint(db: None) -> None:
    one, two, three = bury(), bury(message="It hung up."), bury()

    assert list(find(ids=[one.pk, str(two.task_id)])) == [two, one]
    assert list(find(fingerprint=two.fingerprint)) == [two]
    assert list(find(ids=three.pk, provider="second")) == []


def test_dealt_with_letters_are_found_by_what_became_of_them(db: None) -> None:
    sent, discarded, still_open = bury(), bury(), bury()
    TaskQueue.objects.take_from_dlq([sent.task_id], now=NOW)
    TaskQueue.objects.discard_from_dlq([discarded], by="bob", reason="Old.", now=NOW)

    assert list(find(resolution="redriven")) == [sent]
    assert list(find(resolution=["redriven", "discarded"])) == [discarded, sent]
    assert list(find(resolution="any")) == [still_open, discarded, sent]


def test_a_result_can_be_narrowed_further(db: None) -> None:
    bury()

    assert find().filter(attempts=4).count() == 1


@pytest.mark.parametrize(
    "filters",
    [
        {"no_such_filter": "x"},
        {"provider__startswith": "s"},
        {"provider": ""},
        {"provider": []},
        {"provider": {"in": ["x"]}},
        {"provider": 7},
        {"provider": "a\x00b"},
        {"provider": "\ud800"},
        {"provider": "x" * 201},
        {"provider": ["x"] * 101},
        {"resolution": "lost"},
        {"ids": []},
        {"ids": "1"},
        {"ids": [1]},
        {"ids": [UUID(int=1)] * 1_001},
        {"redrive": "'; DROP TABLE"},
        {"created_after": "yesterday"},
        {"created_after": "2026-11-23T06:00:00"},
        {"created_before": 7},
        {"created_before": "9999-99-99T00:00:00Z"},
    ],
    ids=str,
)
def test_what_is_no_filter_is_refused_with_its_name(db: None, filters: dict[str, Any]) -> None:
    with pytest.raises(BadFilter) as refused:
        find(filters)

    assert refused.value.name == next(iter(filters))


def test_a_checked_filter_is_json_and_checks_again_to_itself(db: None) -> None:
    filters = {"provider": "simulator", "ids": [uuid4()], "created_after": NOW, "created_before": None}

    once = checked(filters)

    assert checked(once) == once
    assert set(once) == {"provider", "ids", "created_after"}


def test_groups_count_letters_by_age_and_show_the_newest(db: None) -> None:
    for age in (timedelta(0), timedelta(hours=2), timedelta(days=2), timedelta(days=30)):
        newest = bury(message=f"Request {age.days} failed.", now=NOW - age)
    bury(provider="second", message="It hung up.")

    first, second = TaskQueue.objects.get_dlq_groups(now=at(1))

    assert (first["provider"], first["error_class"], first["count"]) == ("simulator", "unavailable", 4)
    assert (first["last_hour"], first["last_day"], first["last_week"]) == (1, 2, 3)
    assert (first["first_at"], first["last_at"]) == (NOW - timedelta(days=30), NOW)
    assert UUID(first["example"]) == newest.pk
    assert (second["provider"], second["count"]) == ("second", 1)


def test_groups_are_narrowed_by_the_same_filters(db: None) -> None:
    bury()
    bury(provider="second")

    assert [group["provider"] for group in TaskQueue.objects.get_dlq_groups({"provider": "second"}, now=NOW)] == [
        "second"
    ]
    with pytest.raises(BadFilter):
        TaskQueue.objects.get_dlq_groups({"provder": "second"}, now=NOW)


@pytest.mark.postgresql
def test_groups_and_pages_read_open_letters_only_and_by_their_index(db: None) -> None:
    letter = bury()
    fields = {field.attname: getattr(letter, field.attname) for field in DeadLetter._meta.concrete_fields}
    copies = [fields | {"task_id": uuid4(), "id": uuid4(), "fingerprint": f"{n % 200:040}"} for n in range(50_000)]
    for number, copy in enumerate(copies):
        copy["resolution"] = "open" if number % 10 == 0 else "discarded"
    DeadLetter.objects.bulk_create((DeadLetter(**copy) for copy in copies), batch_size=5_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE queueing_deadletter")

    groups = TaskQueue.objects.get_dlq_groups(now=NOW).explain(analyze=True)
    whole_page = find()[:50].explain()
    group_page = find(provider="simulator", error_class="unavailable", fingerprint=letter.fingerprint)[:50].explain()

    assert "Seq Scan" not in groups, groups
    assert "dead_letter_resolution" in whole_page, whole_page
    assert "dead_letter_group" in group_page, group_page
    assert "Sort" not in whole_page + group_page, group_page
