"""A process that is suspended in mid-transaction loses its connection; others get its locks soon."""

import psycopg
import pytest
from django.conf import settings
from django.db import connection, transaction

from ai_tasks.errors import DATABASE_AWAY
from ai_tasks.locks import take_provider_lock
from config.env import SUSPENDED_SECONDS
from tests.flows.client import eventually

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


def setting(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        value: str = cursor.fetchone()[0]
    return value


def is_alive(pid: int) -> bool:
    """Look from outside."""
    address = connection.settings_dict
    parts = {"host": address["HOST"], "port": address["PORT"], "user": address["USER"], "dbname": address["NAME"]}
    with psycopg.connect(**parts) as other:
        return other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone() is not None


def test_a_transaction_may_not_stand_still_for_long() -> None:
    assert setting("idle_in_transaction_session_timeout") == f"{SUSPENDED_SECONDS}s"
    assert settings.AI_LEASE.total_seconds() > SUSPENDED_SECONDS, "others have its work by then, or later"


def test_what_stands_still_gives_its_locks_back_and_hears_that_the_database_is_away() -> None:
    with pytest.raises(DATABASE_AWAY), transaction.atomic():
        take_provider_lock("simulator")
        with connection.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = '50ms'")
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
            eventually(lambda: not is_alive(pid), "the server ends it")
            cursor.execute("SELECT 1")

    connection.close()
    with transaction.atomic():
        take_provider_lock("simulator")
