"""What a whole run writes, database, logs and all, holds none of the secrets that went through it."""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from config.programs import Standalone
from config.stack import BASE_DIR
from tests.flows.client import Api, eventually
from tests.providers import servers

pytestmark = pytest.mark.stack

PROVIDER_KEY = "sk-proj-Wh0leRun0123456789-secret_ABC"


@contextmanager
def collector(path: Path) -> Iterator[str]:
    """Take what OpenTelemetry exports by OTLP over HTTP into this file; yields the address."""
    path.touch()

    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with path.open("ab") as file:
                file.write(gzipped(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Take) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def gzipped(body: bytes) -> bytes:
    """Return a body that may have been compressed as it was before."""
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


def made(api: Api, path: str, **body: Any) -> Any:
    status, answer = api.call("POST", path, body)
    assert status in (200, 201, 202), answer
    return answer


def test_no_file_of_an_installation_holds_a_secret(tmp_path: Path) -> None:
    said = json.dumps({"error": {"message": f"Bad key {PROVIDER_KEY}", "type": PROVIDER_KEY, "code": PROVIDER_KEY}})
    refusal = servers.response(said, status="401 Unauthorized", X_Key=PROVIDER_KEY)
    with servers.vendor(refusal) as vendor, collector(tmp_path / "spans") as address:
        talkative = {"LOG_LEVEL": "INFO", "LOG_FORMAT": "json", "AI_TRACE_PROVIDERS": "yes"}
        traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        server = Standalone(tmp_path, OPENAI_API_KEY=PROVIDER_KEY, OPENAI_BASE_URL=vendor.url, **talkative, **traced)
        server.start()
        secrets = live_through(server)
        eventually(lambda: b"gen_ai.request.model" in (tmp_path / "spans").read_bytes(), "spans have come")
        assert server.stop() == 0
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[13]", vendor.header("traceparent"))
        assert '"outcome": "authentication_failed"' in server.output()
        assert vendor.header("authorization") == f"Bearer {PROVIDER_KEY}"

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    written = {path.relative_to(tmp_path): path.read_bytes() for path in files}
    assert any(b"authentication" in text for text in written.values())
    found = [(path, name) for path, text in written.items() for name, secret in secrets.items() if secret in text]
    assert found == []


def live_through(server: Standalone) -> dict[str, bytes]:
    """Use everything that has a secret; return the secrets by name."""
    command = [
        sys.executable,
        str(BASE_DIR / "manage.py"),
        "createapikey",
        "admin",
        "--scope",
        "keys",
        "--scope",
        "tasks",
    ]
    made_here = subprocess.run(command, env=server.environment, capture_output=True, text=True, check=True)
    api = Api(server.url, made_here.stdout.split()[-1])
    key = made(api, "/keys", name="of a service", scopes=["tasks"])
    rotated = made(api, f"/keys/{key['id']}/rotate", overlap_seconds=60)
    hook = made(api, "/webhook-endpoints", url="https://hooks.example/")
    ticket = made(api, "/ws-tickets")
    tasks = [
        api.submit("Who are you?", model="openai/gpt-5", wait=0),
        Api(server.url, rotated["key"]).submit("Who am I?", wait=5),
        Api(server.url, key["key"]).submit("Who was I?", fail="server_error", wait=0),
    ]
    assert Api(server.url, f"{key['key'][:-3]}xyz").call("GET", "/tasks")[0] == 401
    eventually(lambda: api.task(tasks[0]["id"])["attempts"], "the provider has answered")
    eventually(lambda: api.task(tasks[0]["id"])["attempts"][0]["error"], "its refusal is written down")
    return {
        "the provider's key": PROVIDER_KEY.encode(),
        "an API key": api.key.encode(),
        "an API key made over REST": key["key"].encode(),
        "a rotated API key": rotated["key"].encode(),
        "a webhook's secret": hook["secret"].encode(),
        "a ticket": ticket["ticket"].encode(),
    }
