"""
Start throw-away PostgreSQL and Redis, run a command with their addresses, stop them.

`python -m tests.services [--browser] -- COMMAND ...`; TEST_DATABASE_URL, TEST_REDIS_URL and CHROMIUM are set for it.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys

from config.binaries import ServiceMissing, apt_install
from config.local_services import Postgres, Redis, die_with_parent, throw_away_folder


def chromium() -> str:
    """Return the path of a Chromium, brought by apt where we may; empty when there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    if not any(map(shutil.which, names)):
        apt_install("chromium", "fonts-noto-cjk")
    return next(filter(None, map(shutil.which, names)), "")


def run(command: list[str], **addresses: str) -> int:
    """Run the command, bound to our life, with these in its environment; return its exit code."""
    return subprocess.call(command, env={**os.environ, **addresses}, preexec_fn=die_with_parent)


def main() -> int:
    """Run the command between start and stop; return its exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--browser", action="store_true")
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # The command gets Ctrl-C too, and ends by itself.
    signal.signal(signal.SIGINT, lambda *_: None)
    with throw_away_folder("services") as folder:
        postgres, redis = Postgres(folder / "postgres", is_durable=False), Redis(folder / "redis")
        try:
            browser = {"CHROMIUM": chromium()} if asked.browser else {}
            postgres.start()
            redis.start()
            return run(asked.command, TEST_DATABASE_URL=postgres.url(), TEST_REDIS_URL=redis.url, **browser)
        except ServiceMissing as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 1
        finally:
            postgres.stop()
            redis.stop()


if __name__ == "__main__":
    sys.exit(main())
