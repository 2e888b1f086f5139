"""The files of `deploy/`: those who read them can, their commands run an installation, and what they name is there."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml
from django.urls import resolve

from ai_tasks.api.health import healthz, readyz
from ai_tasks.worker import DRAIN_SECONDS
from config import env
from config.local_services import free_port, throw_away_folder
from config.programs import printed_key
from config.settings import BASE_DIR
from config.stack import Stack
from tests.flows.client import Api

DEPLOY = BASE_DIR / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
OURS = ("web", "worker", "beat")
PORT = "8000"


def unit(name: str) -> dict[str, str]:
    """Return the settings of a systemd unit, the last of each name."""
    text = (DEPLOY / "systemd" / f"tasuki-{name}.service").read_text(encoding="utf-8")
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def command(name: str, port: int) -> list[str]:
    """Return the service's command as a container has it, on another port."""
    own = {PORT: str(port), "python": sys.executable}
    return [own.get(word, word) for word in COMPOSE["services"][name]["command"]]


@pytest.fixture(scope="module")
def composed() -> Iterator[Stack]:
    """Run PostgreSQL, Redis and the processes of compose.yaml, each by its own command."""
    port = free_port()
    with throw_away_folder("composed") as folder:
        stack = Stack(folder, port=port, workers=1)
        stack.commands = {f"{name}-1" if name == "worker" else name: command(name, port) for name in OURS}
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()


@pytest.mark.stack
def test_the_commands_of_the_containers_run_a_task(composed: Stack) -> None:
    api = Api(composed.url, printed_key(composed.manage("welcome", "--url", composed.url)))

    task = api.submit("Name a river.", wait=30)

    assert api.task(task["id"])["status"] == "completed"


@pytest.mark.stack
def test_the_health_check_says_what_is_so(composed: Stack) -> None:
    test = COMPOSE["services"]["web"]["healthcheck"]["test"]
    assert test[:2] == ["CMD", "python"]
    port = composed.url.rsplit(":", 1)[1]

    well = subprocess.run([sys.executable, *[each.replace(PORT, port) for each in test[2:]]], check=False)
    ill = subprocess.run(
        [sys.executable, *[each.replace(PORT, str(free_port())) for each in test[2:]]], check=False, capture_output=True
    )

    assert (well.returncode, ill.returncode) == (0, 1)


@pytest.mark.stack
@pytest.mark.parametrize("name", ["beat", "worker-1", "web"])
def test_it_stops_within_its_grace(composed: Stack, name: str) -> None:
    grace = COMPOSE["services"][name.split("-")[0]]["stop_grace_period"]
    process = composed.processes.pop(name)
    log = composed.folder / f"{name}.log"
    assert process.poll() is None, log.read_text(errors="replace")[-3000:]

    process.send_signal(signal.SIGTERM)

    ended = process.wait(int(grace.removesuffix("s")))
    assert ended in (0, -signal.SIGTERM), log.read_text(errors="replace")[-3000:]


@pytest.mark.parametrize("name", OURS)
def test_a_unit_runs_what_the_container_runs(name: str) -> None:
    words = shlex.split(unit(name)["ExecStart"])

    run = [word for word in words[3:] if word not in ("-n", "worker@%%h")]

    assert words[1:3] == ["-m", COMPOSE["services"][name]["command"][0]]
    assert run == [{"0.0.0.0": "127.0.0.1"}.get(word, word) for word in COMPOSE["services"][name]["command"][1:]]  # noqa: S104
    assert int(unit(name)["TimeoutStopSec"]) == int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s"))


def test_every_service_waits_for_what_it_needs() -> None:
    services = COMPOSE["services"]

    for name in (*OURS, "worker-long"):
        assert set(services[name]["depends_on"]) == {"migrate"}
        assert services[name]["read_only"]
    assert {each["condition"] for each in services["migrate"]["depends_on"].values()} == {"service_healthy"}
    mounted = {mount.split(":")[0] for name in ("postgres", "redis", "rabbitmq") for mount in services[name]["volumes"]}
    assert set(COMPOSE["volumes"]) == mounted


def test_what_the_page_says_of_kubernetes_is_so() -> None:
    page = (BASE_DIR / "docs" / "deployment.md").read_text(encoding="utf-8").split("## Kubernetes")[1]
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE))
    graces = {name: COMPOSE["services"][name]["stop_grace_period"].removesuffix("s") for name in OURS}

    assert resolve(rows["liveness of web"].split("`")[1].removeprefix("GET ")).func is healthz
    assert resolve(rows["readiness of web"].split("`")[1].removeprefix("GET ")).func is readyz
    assert re.findall(r"\d+", rows["`terminationGracePeriodSeconds`"]) == [graces["worker"], graces["web"]]
    assert graces["beat"] == graces["web"]
    assert "ten seconds" in rows["`terminationGracePeriodSeconds`"]
    assert DRAIN_SECONDS == 10 < int(graces["worker"])
    assert "`tasuki_queue_oldest_wait_seconds`" in rows["scaling of workers"]
    assert "`tasuki_workers`" in rows["liveness of workers, beat"]


def test_compose_can_read_it() -> None:
    read = compose_spec.PyCompose.from_json(json.dumps(COMPOSE))

    assert set(read.to_dict()["services"]) == set(COMPOSE["services"])
    for service in COMPOSE["services"].values():
        assert re.fullmatch(r"docker\.io/library/\w+:[\d.]+|tasuki", service["image"]), "a name in full, of one version"


@pytest.mark.parametrize("name", OURS)
def test_systemd_can_read_it(name: str, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here; systemd brings it")
    copy = tmp_path / f"tasuki-{name}.service"
    text = (DEPLOY / "systemd" / copy.name).read_text(encoding="utf-8")
    copy.write_text(text.replace("/srv/tasuki/.venv/bin/python", sys.executable), encoding="utf-8")

    said = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], check=False, capture_output=True, text=True)

    assert (said.returncode, [line for line in said.stderr.splitlines() if copy.name in line]) == (0, [])


def test_the_image_is_built_by_the_rules() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    steps = [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]
    words = [word for word, _ in steps]
    own = [rest.split()[:-1] for word, rest in steps if word == "COPY" and "--from=" not in rest]
    ran = " ".join(rest for word, rest in steps if word == "RUN")

    assert set(words) <= {"FROM", "COPY", "RUN", "WORKDIR", "ENV", "USER", "EXPOSE", "CMD"}
    assert {rest.split()[0] for word, rest in steps if word == "FROM"} == {
        "docker.io/library/python:3.11-slim-bookworm"
    }
    assert [name for names in own for name in names if not (BASE_DIR / name).exists()] == []
    assert ran.count("pip install") == ran.count("pip install --no-cache-dir")
    assert "apt-get" not in ran
    assert words.index("USER") < words.index("CMD") == len(words) - 1
    assert json.loads(steps[-1][1]) == COMPOSE["services"]["web"]["command"]


def test_the_image_has_every_part_of_the_project_and_no_test() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")

    copied = set(re.findall(r"^COPY (\w+) \1$", text, re.MULTILINE))

    assert copied == {"config", "ai_tasks", "chat", "queueing", "providers"}
    assert "USER tasuki" in text
    assert (BASE_DIR / "requirements.txt").exists()


def test_the_example_sets_variables_that_there_are() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in Path(env.__file__).parent.glob("*.py"))

    for line in (DEPLOY / "env.example").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            assert f'"{line.split("=")[0]}"' in source, line
