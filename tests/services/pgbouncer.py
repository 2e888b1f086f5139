"""A throw-away PgBouncer in transaction mode before a throw-away PostgreSQL."""

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from config.binaries import Source, find, is_root
from config.local_services import NOBODY, Postgres, free_port, start, stop, wait_until

PGBOUNCER = Source("pgbouncer", "pgbouncer", "pgbouncer")
CONNECTIONS = 5
"""To PostgreSQL, for all processes together."""
SETTINGS = f"""
pool_mode = transaction
default_pool_size = {CONNECTIONS}
max_client_conn = 400
idle_transaction_timeout = 5
server_login_retry = 1
auth_type = any
unix_socket_dir =
"""


@dataclass
class PgBouncer:
    """One PgBouncer, which knows one database of one server."""

    folder: Path
    postgres: Postgres
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"postgres://tasuki@127.0.0.1:{self.port}/tasuki"

    @property
    def environment(self) -> dict[str, str]:
        """What leads the processes of an installation through it."""
        return {"DATABASE_URL": self.url, "BEHIND_PGBOUNCER": "yes"}

    def start(self) -> None:
        """Start it and wait until it passes a query on; like PostgreSQL, it refuses to be root."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if is_root():
            os.chown(self.folder, NOBODY, NOBODY)
        file, log = self.folder / "pgbouncer.ini", self.folder / "pgbouncer.log"
        behind = f"tasuki = host=127.0.0.1 port={self.postgres.port} user=tasuki"
        here = f"listen_addr = 127.0.0.1\nlisten_port = {self.port}"
        file.write_text(f"[databases]\n{behind}\n[pgbouncer]\n{here}\n{SETTINGS}", encoding="utf-8")
        self.process = start([str(find(PGBOUNCER)), str(file)], log=log, as_nobody=is_root())
        wait_until(self._answers, self.process, log)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Stop it."""
        if self.process:
            stop(self.process)
