"""
The whole suite: everything on SQLite, then the repositories and the engine again on PostgreSQL and Redis.

`python -m tests.run [--scale] [pytest's options]` below `python -m tests.services`; with --scale the API, the sockets
and the chat on PostgreSQL, and the heavy tests.
"""

import os
import signal
import subprocess
import sys

from config.local_services import die_with_parent

NO_TESTS = 5
"""Pytest's exit code when it selected nothing."""
ON_SQLITE = ["-m", "not scale and not postgresql"]
API_AND_SOCKETS = ["tests/ai_tasks/api", "tests/ai_tasks/sockets"]
CHAT_REPOSITORY = [f"tests/chat/test_{name}.py" for name in ("session_repository", "add_message", "token_usage")]
ON_POSTGRESQL = [
    "-m",
    "not scale and not browser and not stack",
    "tests/queueing",
    "tests/ai_tasks",
    *(f"--ignore={folder}" for folder in API_AND_SOCKETS),
    *CHAT_REPOSITORY,
]
RUNS = [("sqlite", ON_SQLITE), ("postgresql", ON_POSTGRESQL)]
REST_ON_POSTGRESQL = ["-m", "not scale", *API_AND_SOCKETS, "tests/chat"]
ON_BOTH = ["-m", "scale and not postgresql", "tests/scale/test_claimers.py"]
HEAVY_RUNS = [("postgresql", REST_ON_POSTGRESQL), ("postgresql", ["-m", "scale"]), ("sqlite", ON_BOTH)]


BY_FILE = ["--dist", "loadfile", "--no-loadscope-reorder"]
"""In the order of collection, in which what takes long stands first (tests/conftest.py): both end at the same time."""


def run(name: str, arguments: list[str]) -> int:
    """Run pytest on that database and return its exit code."""
    print(f"\n=== {name} ===", flush=True)  # noqa: T201
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", *BY_FILE, *arguments]
    return subprocess.call(command, env={**os.environ, "TEST_ON": name}, preexec_fn=die_with_parent)


def main() -> int:
    """Run all; return 0 only when all passed."""
    # Pytest gets Ctrl-C too, and ends by itself.
    signal.signal(signal.SIGINT, lambda *_: None)
    options = sys.argv[1:]
    if "--scale" not in options:
        return max([run(name, [*arguments, *options]) for name, arguments in RUNS])
    options.remove("--scale")
    codes = [run(name, [*arguments, *options]) for name, arguments in HEAVY_RUNS]
    return max(0 if code == NO_TESTS else code for code in codes)


if __name__ == "__main__":
    sys.exit(main())
