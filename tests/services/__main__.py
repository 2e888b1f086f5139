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
import tempfile
from pathlib import Path

from config import local_services
from config.local_services import Postgres, Redis, ServiceMissing


def chromium() -> str:
    """Return the path of a Chromium, brought by apt where we may; raises ServiceMissing."""
    for _ in range(2):
        for name in ("chromium", "chromium-browser", "google-chrome"):
            if found := shutil.which(name):
                return found
        if not (local_services.is_root() and shutil.which("apt-get")):
            break
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=False, stdout=subprocess.DEVNULL)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-noto-cjk"]
        subprocess.run(install, check=False, stdout=subprocess.DEVNULL, env=quiet)
    raise ServiceMissing("The browser tests need Chromium; install Debian's chromium.")


def main() -> int:
    """Run the command between start and stop; return its exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--browser", action="store_true")
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tasuki-services-"))
    folder.chmod(0o711)
    postgres = Postgres(folder / "postgres", is_durable=False)
    redis = Redis(folder / "redis")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        browser = {"CHROMIUM": chromium()} if asked.browser else {}
        postgres.start()
        redis.start()
        addresses = {"TEST_DATABASE_URL": postgres.url(), "TEST_REDIS_URL": redis.url}
        return subprocess.call(asked.command, env={**os.environ, **addresses, **browser})
    except ServiceMissing as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    finally:
        postgres.stop()
        redis.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
