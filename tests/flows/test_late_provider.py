"""A provider that is added while everything runs is used without a restart, in both shapes of an installation."""

import json
from pathlib import Path

import pytest

from config.local_services import free_port, throw_away_folder
from config.programs import Standalone, printed_key
from config.stack import Stack
from tests.flows.client import Api, eventually

pytestmark = pytest.mark.stack


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """AI_PROVIDERS_FILE, with nobody in it yet."""
    path = tmp_path / "providers.json"
    path.write_text("{}", encoding="utf-8")
    return path


def add_a_provider_and_use_it(api: Api, file: Path) -> None:
    body = {"type": "text.generate", "model": "late/sim-1", "input": {"prompt": "Name a river."}}
    assert api.call("POST", "/tasks", body)[1]["code"] == "unknown_model"

    file.write_text(json.dumps({"late": {"adapter": "simulator"}}), encoding="utf-8")

    eventually(lambda: api.call("POST", "/tasks", body)[0] == 202, "the provider is known")
    task = api.submit("Name a river.", model="late/sim-1")
    eventually(lambda: api.task(task["id"])["status"] == "completed", "a worker listens to its queue", 30)


def test_in_one_process(tmp_path: Path, file: Path) -> None:
    server = Standalone(tmp_path / "run", AI_PROVIDERS_FILE=str(file))
    server.start()

    add_a_provider_and_use_it(Api(server.url, server.api_key), file)

    assert server.stop() == 0


def test_with_workers_of_their_own(file: Path) -> None:
    with throw_away_folder("late") as folder:
        stack = Stack(folder, port=free_port(), workers=1, is_durable=False, AI_PROVIDERS_FILE=str(file))
        try:
            stack.start()
            api = Api(stack.url, printed_key(stack.manage("welcome", "--url", stack.url)))
            eventually(lambda: api.submit("Name a river.", wait=5)["status"] == "completed", "the worker has joined")

            add_a_provider_and_use_it(api, file)
        finally:
            stack.stop()
