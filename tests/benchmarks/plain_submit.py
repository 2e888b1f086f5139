"""The web process of the plain installation: it writes a row, sends its message, and only then says that it has it."""

import contextlib
import json
import subprocess
import sys
import threading
import time

from config.local_services import die_with_parent
from config.stack import BASE_DIR

AGAIN_SECONDS = 0.2


class Submitter:
    """Runs that process, and reads what it acknowledged."""

    def __init__(self, environment: dict[str, str], tasks: int, seconds: float) -> None:
        module = [sys.executable, "-m", "tests.benchmarks.plain_submit"]
        migrate = [sys.executable, "-m", "tests.benchmarks.plain_celery", "migrate"]
        subprocess.run(migrate, env=environment, cwd=BASE_DIR, check=True)
        self._command = [*module, str(tasks), str(seconds)]
        self._environment = environment
        self._known: list[int] = []

    def start(self) -> None:
        """Begin."""
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            cwd=BASE_DIR,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._known.append(json.loads(line))

    def finish(self) -> list[int]:
        """Wait until all are submitted, and return the ids of the rows that were acknowledged."""
        self._process.wait()
        self._reader.join()
        return self._known


def main() -> None:
    """Submit at an even pace; what fails is tried again, as a client would."""
    from tests.benchmarks import plain_celery  # noqa: PLC0415 (it configures Django when it is imported)

    tasks, seconds = int(sys.argv[1]), float(sys.argv[2])
    began = time.monotonic()
    for number in range(tasks):
        time.sleep(max(0.0, began + number * seconds / tasks - time.monotonic()))
        while (job_id := _submitted(plain_celery, number)) is None:
            time.sleep(AGAIN_SECONDS)
        print(job_id, flush=True)  # noqa: T201


def _submitted(plain: object, number: int) -> int | None:
    with contextlib.suppress(Exception):
        return int(plain.submit(f"Name river {number}."))  # type: ignore[attr-defined]
    return None


if __name__ == "__main__":
    main()
