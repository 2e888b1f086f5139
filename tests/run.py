"""The whole suite: everything on SQLite, then what touches the database again on PostgreSQL and Redis."""

import os
import subprocess
import sys

ON_SQLITE = ["-m", "not scale and not postgresql"]
ON_POSTGRESQL = [
    "-m",
    "not scale and not browser and not stack",
    "tests/queueing",
    "tests/ai_tasks",
    "tests/chat",
    "tests/flows",
]


def main() -> int:
    """Run both; return 0 only when both passed."""
    extra = sys.argv[1:]
    results = []
    for name, arguments in (("sqlite", ON_SQLITE), ("postgresql", ON_POSTGRESQL)):
        print(f"\n=== {name} ===", flush=True)  # noqa: T201
        command = [sys.executable, "-m", "pytest", "-q", *arguments, *extra]
        results.append(subprocess.call(command, env={**os.environ, "TEST_ON": name}))
    return max(results)


if __name__ == "__main__":
    sys.exit(main())
