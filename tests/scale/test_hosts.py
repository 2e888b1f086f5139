"""Several hosts, each on a network of its own: one is cut off in the middle of its work, and returns."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from config.local_services import Postgres, Redis, throw_away_folder
from config.programs import Simulator, printed_key
from config.stack import Stack
from tests.flows.client import Api, eventually
from tests.services.network import Network, NoNetwork

pytestmark = [pytest.mark.stack, pytest.mark.scale]

TASKS = 12
CLIENTS = 4
SLOW = {"output_tokens": 40, "tokens_per_second": 5}
"""An answer of eight seconds; a lease is six."""
RUNNING = "SELECT count(*) FROM queueing_queueentry WHERE state = 'running'"
ACTIVE = "SELECT count(*) FROM ai_tasks_aigenerationtask WHERE status IN ('pending', 'processing')"
WORKERS = "SELECT count(*) FROM ai_tasks_workerprocess WHERE last_seen_at > clock_timestamp() - interval '3 seconds'"
STARTED = "SELECT count(*) FROM ai_tasks_attempt WHERE started_at IS NOT NULL"
CHARGED = "SELECT count(DISTINCT attempt_id) FROM ai_tasks_ledgerentry WHERE kind = 'charge'"
CHARGES = "SELECT count(*) FROM ai_tasks_ledgerentry WHERE kind = 'charge'"
LOST = "SELECT count(*) FROM ai_tasks_attempt WHERE state = 'lost'"
OUTCOMES = (
    "SELECT json_agg(json_build_array(id, status, output, finished_at) ORDER BY id) FROM ai_tasks_aigenerationtask"
)
ENDS = """SELECT count(*) FROM (SELECT task_id FROM ai_tasks_attempt WHERE state = 'succeeded' GROUP BY task_id
    HAVING count(*) = 1) once"""


class Hosts:
    """An installation on hosts of its own."""

    def __init__(self, network: Network, stack: Stack, provider: Simulator) -> None:
        self.network, self.stack, self.provider = network, stack, provider
        self.api = Api(stack.url, printed_key(stack.manage("welcome", "--url", stack.url)))

    def ask(self, query: str) -> Any:
        """Return the one value that a query finds."""
        with psycopg.connect(self.stack.postgres.url()) as connection:
            row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]

    def calls(self) -> list[str]:
        """Return the request id of every call that the provider got."""
        return [line["request_id"] for line in self.provider.lines() if line["event"] == "began"]

    def run_worker(self, name: str) -> None:
        """Start a worker that is the only one from then on."""
        for other in [each for each in self.stack.processes if each.startswith("worker")]:
            self.stack.kill(other)
        self.stack.spawn(name)
        eventually(lambda: self.ask(WORKERS) == 1, f"only {name} is there")


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """A network of these hosts."""
    made = Network(services=("postgres", "redis", "provider"), hosts=("web", "worker-1", "worker-2", "beat"))
    try:
        made.start()
    except NoNetwork as error:
        pytest.skip(str(error))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def hosts(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """PostgreSQL, Redis and a provider, each at an address; web, a worker and beat, each on a host of its own."""
    provider = Simulator(tmp_path_factory.mktemp("provider"), host=network.address("provider"))
    settings = {
        "AI_LEASE_SECONDS": "6",
        "AI_LOST_CHARGE_GRACE_SECONDS": "30",
        "AI_PROVIDERS": provider.setting(),
        "ALLOWED_HOSTS": network.address("web"),
    }
    with throw_away_folder("hosts") as folder:
        stack = Stack(folder, port=8000, workers=1, is_durable=False, **settings)
        stack.postgres = Postgres(stack.postgres.folder, is_durable=False, host=network.address("postgres"))
        stack.redis = Redis(stack.redis.folder, host=network.address("redis"))
        stack.url = stack.urls["web"] = f"http://{network.address('web')}:8000"
        stack.launchers = {name: network.launcher(name) for name in network.hosts}
        try:
            provider.start()
            stack.start()
            with psycopg.connect(stack.postgres.url()) as connection:
                connection.execute("UPDATE providers_providerlimit SET max_concurrency = NULL")
            yield Hosts(network, stack, provider)
        finally:
            stack.stop()
            provider.stop()


@pytest.mark.parametrize("lost", ["the network", "the database"])
def test_a_worker_that_is_cut_off_loses_its_work_and_changes_nothing_any_more(hosts: Hosts, lost: str) -> None:
    hosts.run_worker("worker-1")
    started = hosts.ask(STARTED)
    ids = hosts.api.submit_many(TASKS, model="remote/sim-1", **SLOW)
    eventually(lambda: hosts.ask(RUNNING) == TASKS, "all run on the first host")

    cut(hosts, "worker-1", lost)
    hosts.stack.spawn("worker-2")

    eventually(lambda: hosts.ask(ACTIVE) == 0, "the second host has done it all")
    outcomes = hosts.ask(OUTCOMES)
    mend(hosts, "worker-1", lost)
    eventually(lambda: hosts.ask(WORKERS) == 2, "the first is back")
    eventually(lambda: hosts.ask(CHARGES) == hosts.ask(STARTED), "every started call is charged")
    assert hosts.ask(OUTCOMES) == outcomes, "what it still wrote changed nothing"
    assert hosts.ask(STARTED) == started + 2 * TASKS, "each ran once on each host"
    assert hosts.ask(CHARGED) == hosts.ask(CHARGES), "no call was charged twice"
    assert len(hosts.calls()) == len(set(hosts.calls())) == hosts.ask(CHARGES), "one charge for each call"
    assert hosts.ask(ENDS) == len(outcomes), "every task has one end"
    assert {hosts.api.task(each)["status"] for each in ids} == {"completed"}
    assert all(process.poll() is None for process in hosts.stack.processes.values())


def cut(hosts: Hosts, host: str, lost: str) -> None:
    """Take the network, or only the database, from a host."""
    if lost == "the network":
        hosts.network.cut(host)
    else:
        hosts.network.lose(host, "postgres")


def mend(hosts: Hosts, host: str, lost: str) -> None:
    """Give it back."""
    if lost == "the network":
        hosts.network.join(host)
    else:
        hosts.network.find(host, "postgres")


def test_a_web_host_without_its_database_says_so_and_recovers(hosts: Hosts) -> None:
    hosts.api.submit_many(CLIENTS, model="remote/sim-1")  # so that there are connections that seem to be well
    eventually(lambda: hosts.ask(ACTIVE) == 0, "all is done")
    before = hosts.ask("SELECT count(*) FROM ai_tasks_aigenerationtask")
    hosts.network.lose("web", "postgres")

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda _: refused(hosts), range(CLIENTS)))
    pages = {page: _status_of(hosts, page) for page in ("healthz", "readyz")}

    hosts.network.find("web", "postgres")
    assert pages == {"healthz": 200, "readyz": 503}
    for status, retry_after, problem in answers:
        assert (status, problem["code"], problem["retryable"]) == (503, "unavailable", True)
        assert int(retry_after) > 0
    eventually(lambda: hosts.api.call("GET", "/tasks?limit=1")[0] == 200, "it is back", seconds=20)
    eventually(lambda: _status_of(hosts, "readyz") == 200, "and says so", seconds=20)
    assert hosts.ask("SELECT count(*) FROM ai_tasks_aigenerationtask") == before, "what was refused is not there"
    assert hosts.api.submit("Name a river.", model="remote/sim-1", wait=20)["status"] == "completed"


def test_a_web_host_without_redis_accepts_work_that_others_do(hosts: Hosts) -> None:
    hosts.api.submit("Name a river.", model="remote/sim-1", wait=20)
    hosts.network.lose("web", "redis")

    began = time.monotonic()
    tasks = [hosts.api.submit("Name a river.", model="remote/sim-1") for _ in range(CLIENTS)]
    seconds = time.monotonic() - began

    eventually(lambda: hosts.ask(ACTIVE) == 0, "other processes have it done", seconds=30)
    followed = [hosts.api.events(task["id"])[-1] for task in tasks]
    hosts.network.find("web", "redis")
    assert seconds < CLIENTS * 3, "nobody waits for Redis for long"
    assert {(name, data["status"]) for name, data in followed} == {("task.updated", "completed")}
    eventually(lambda: _status_of(hosts, "readyz") == 200, "it is back", seconds=30)


def refused(hosts: Hosts) -> tuple[int, str, Any]:
    """Submit, and return the status, Retry-After and the problem of the answer."""
    body = json.dumps({"type": "text.generate", "model": "remote/sim-1", "input": {"prompt": "?"}}).encode()
    headers = {"Authorization": f"Bearer {hosts.api.key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{hosts.api.url}/tasks", body, headers)
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(request, timeout=25)
    with answer.value as error:
        return error.code, error.headers["Retry-After"], json.load(error)


def _status_of(hosts: Hosts, page: str) -> int:
    try:
        with urllib.request.urlopen(f"{hosts.stack.url}/{page}", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
