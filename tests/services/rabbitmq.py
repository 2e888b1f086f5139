"""A throw-away RabbitMQ node, with an epmd of its own, beside whatever runs already."""

import os
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from config.binaries import Source, find
from config.local_services import free_port, start, stop, wait_until

RABBITMQ = Source("rabbitmq-server", "rabbitmqctl", "rabbitmq-server")
EPMD = Source("epmd", "erl", "erlang-base")
HELLO, START = b"AMQP\x00\x00\x09\x01", b"\x01\x00\x00"
"""A client's first word, and how the method frame begins that answers it (AMQP 0-9-1, 4.2)."""


@dataclass
class RabbitMQ:
    """One node; what it holds outlives its stop."""

    folder: Path
    port: int = field(default_factory=free_port)
    names_port: int = field(default_factory=free_port)
    """Of its epmd."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What has the processes of an installation use it as their broker."""
        return {"CELERY_BROKER_URL": f"amqp://guest:guest@127.0.0.1:{self.port}//"}

    def start(self) -> None:
        """Start it and wait until it greets; some seconds."""
        self.folder.mkdir(parents=True, exist_ok=True)
        find(RABBITMQ)
        node, log = self._node(), self.folder / "rabbitmq.log"
        (self.folder / "enabled_plugins").write_text("[].\n", encoding="utf-8")
        (self.folder / "rabbitmq.conf").touch()
        # Left to itself, Erlang would start one that outlives us.
        names = start([str(find(EPMD)), "-address", "127.0.0.1", "-port", str(self.names_port)], log=log)
        server = start([self._script("rabbitmq-server")], log=log, **node)
        self.processes = [server, names]
        wait_until(self._greets, server, log)

    def _script(self, name: str) -> str:
        """Debian's own wants to be another user; those in its library do not mind."""
        inside = Path("/usr/lib/rabbitmq/bin") / name
        return str(inside if inside.exists() else find(RABBITMQ).parent / name)

    def _node(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"tasuki-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput -kernel inet_dist_use_interface {127,0,0,1}",
            "RUNNING_UNDER_SYSTEMD": "1",  # its script then becomes the server, whom signals reach
            "ERL_EPMD_PORT": str(self.names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(HELLO)
                return connection.recv(8).startswith(START)
        except OSError:
            return False

    def queue_types(self) -> dict[str, str]:
        """Return each queue's type by its name."""
        command = [self._script("rabbitmqctl"), "-q", "--no-table-headers", "list_queues", "name", "type"]
        told = subprocess.run(command, env={**os.environ, **self._node()}, capture_output=True, text=True, check=True)
        return dict(line.split("\t") for line in told.stdout.splitlines())

    def freeze(self) -> None:
        """Have it stand still, with its connections open."""
        os.killpg(self.processes[0].pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        os.killpg(self.processes[0].pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop it."""
        for process in self.processes:
            stop(process)
        self.processes.clear()
