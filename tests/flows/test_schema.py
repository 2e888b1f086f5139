"""Every call of the published schema, drawn at random, as a stranger, a user and an operator, over real HTTP."""

import os
import random
import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok

from config.programs import Standalone
from config.settings import BASE_DIR
from tests.flows.client import Api

SECRET = f"marker-{uuid4().hex}"
EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "5"))
SEED = int(os.environ.get("SCHEMA_SEED", random.randrange(10**6)))
load_all_checks()
EXPECTED = CHECKS.get_by_names(
    ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)


@pytest.fixture(scope="module")
def keys(standalone: Standalone) -> dict[str, str]:
    """Return an API key for each caller; none for the stranger."""

    def manage(*arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=BASE_DIR, env=standalone.environment, check=True, capture_output=True)
        return done.stdout.decode().split()[-1] if done.stdout else ""

    for name in ("alice", "bob"):
        manage("shell", "-v0", "-c", f"from django.contrib.auth.models import User; User.objects.create_user('{name}')")
    operator = {"operator": manage("createapikey", "admin")}
    return {"owner": manage("createapikey", "alice"), "stranger": "", "user": manage("createapikey", "bob")} | operator


@pytest.fixture(scope="module")
def ids(standalone: Standalone, keys: dict[str, str]) -> list[str]:
    """Return the ids of what alice has; each says SECRET somewhere."""
    api = Api(standalone.url, keys["owner"])
    task = api.submit(SECRET, wait=30)
    _, session = api.call("POST", "/chat/sessions", {"title": SECRET})
    _, sent = api.call("POST", f"/chat/sessions/{session['id']}/messages", {"content": SECRET})
    return [task["id"], session["id"], sent["message"]["id"], sent["reply"]["id"]]


def probe(operation: Any, mode: GenerationMode, keys: dict[str, str], ids: list[str], url: str) -> list[str]:
    """Make calls of one operation, each as every caller; return what was wrong with the answers."""
    wrong: list[str] = []
    mine = st.none() | st.sampled_from(ids)

    @seed(SEED)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), known=mine)
    def call(case: Any, known: str | None) -> None:
        for name in (case.path_parameters or {}) if known else ():
            if name.endswith("id"):
                case.path_parameters[name] = known
        for caller in ("stranger", "user", "operator"):
            key = keys[caller]
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            answer = case.call(base_url=url, headers=headers, timeout=30)
            try:
                case.validate_response(answer, checks=EXPECTED, headers=headers)
            except FailureGroup as found:
                wrong.extend(f"{operation.label} as {caller}: {each}"[:1500] for each in found.exceptions)
            if caller != "operator" and SECRET in answer.text:
                wrong.append(f"{operation.label} as {caller} shows what is somebody else's")

    call()
    return wrong


def test_no_call_breaks_the_server_or_answers_what_is_not_documented(
    standalone: Standalone, keys: dict[str, str], ids: list[str]
) -> None:
    schema = schemathesis.openapi.from_url(f"{standalone.url}/api/schema/?format=json")
    wrong: list[str] = []

    for each in schema.get_all_operations():
        assert isinstance(each, Ok), each
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            wrong += probe(each.ok(), mode, keys, ids, standalone.url)

    assert wrong == [], f"seed {SEED}\n" + "\n\n".join(wrong[:5])
