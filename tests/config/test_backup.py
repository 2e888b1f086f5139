"""The backup drill of docs/operations.md, as written there."""

import os
import re
import subprocess
from pathlib import Path

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection

from config import binaries
from config.settings import BASE_DIR
from tests.engine import text_task

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


def test_a_dump_is_restored_whole(alice: User, providers_ready: None, tmp_path: Path) -> None:
    page = (BASE_DIR / "docs" / "operations.md").read_text(encoding="utf-8")
    found = re.search(r"^```\n(pg_dump.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert found
    task = text_task(alice, prompt="Am I still there?")
    names = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
    place = {name: str(connection.settings_dict[key]) for name, key in names.items()}
    path = f"{binaries.find(binaries.POSTGRES).parent}:{os.environ['PATH']}"
    environment = {**os.environ, **{name: value for name, value in place.items() if value}, "PATH": path}

    try:
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", found[1]],
            env={**environment, "DATABASE_URL": f"dbname={place['PGDATABASE']}"},
            cwd=tmp_path,
            check=True,
        )
        with psycopg.connect(
            host=place["PGHOST"],
            port=place["PGPORT"],
            user=place["PGUSER"],
            password=place["PGPASSWORD"],
            dbname="restored",
        ) as restored:
            rows = restored.execute("SELECT id, input ->> 'prompt' FROM ai_tasks_aigenerationtask").fetchall()
    finally:
        subprocess.run(["dropdb", "--if-exists", "restored"], env=environment, check=True)

    assert rows == [(task.pk, "Am I still there?")]
