"""
Hosts of their own on this machine: Linux network namespaces on one bridge, whose cables can be pulled.

Needs root with CAP_NET_ADMIN and CAP_SYS_ADMIN, and `ip` (iproute2).
"""

import os
import shutil
import subprocess
from dataclasses import dataclass, field

NOBODY_THERE = "02:00:00:00:00:01"
"""A hardware address that nobody has: what is sent there vanishes, as behind a broken switch."""


class NoNetwork(Exception):
    """This machine lets us make no network; says why."""


def ip(*arguments: str) -> None:
    """Run `ip`; raises NoNetwork with what it says."""
    program = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")
    if program is None:
        raise NoNetwork("There is no `ip` here: install Debian's iproute2.")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoNetwork(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@dataclass
class Network:
    """A bridge with an address of ours for each of these services, and hosts."""

    services: tuple[str, ...]
    hosts: tuple[str, ...]
    name: str = field(default_factory=lambda: f"tk{os.getpid() % 10_000}")

    @property
    def _net(self) -> str:
        """One of 198.18.0.0/15, which is for tests (RFC 2544)."""
        return f"198.18.{os.getpid() % 250}"

    def address(self, name: str) -> str:
        """Return the address of a service or host."""
        return f"{self._net}.{(*self.services, *self.hosts).index(name) + 2}"

    def start(self) -> None:
        """Make it all; raises NoNetwork, and leaves nothing behind then."""
        if os.geteuid() != 0:
            raise NoNetwork("Only root may make network namespaces.")
        try:
            self._make_bridge()
            for number, host in enumerate(self.hosts):
                self._add(host, number)
        except NoNetwork:
            self.stop()
            raise

    def _make_bridge(self) -> None:
        ip("link", "add", self.name, "type", "bridge")
        ip("link", "set", self.name, "up")
        ip("address", "add", f"{self._net}.1/24", "dev", self.name)
        for service in self.services:
            ip("address", "add", f"{self.address(service)}/24", "dev", self.name)

    def _add(self, host: str, number: int) -> None:
        space, here, there = self._space(host), self._cable(host), f"{self.name}p{number}"
        ip("netns", "add", space)
        ip("link", "add", here, "type", "veth", "peer", "name", there)
        ip("link", "set", here, "master", self.name, "up")
        ip("link", "set", there, "netns", space, "name", "eth0")
        ip("-n", space, "link", "set", "lo", "up")
        ip("-n", space, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        ip("netns", "exec", space, "true")

    def _space(self, host: str) -> str:
        return f"{self.name}-{host}"

    def _cable(self, host: str) -> str:
        return f"{self.name}h{self.hosts.index(host)}"

    def launcher(self, host: str) -> list[str]:
        """Return the command that starts another on this host."""
        return ["ip", "netns", "exec", self._space(host)]

    def cut(self, host: str) -> None:
        """Pull the host's cable."""
        ip("link", "set", self._cable(host), "down")

    def join(self, host: str) -> None:
        """Plug it in again."""
        ip("link", "set", self._cable(host), "up")

    def lose(self, host: str, service: str) -> None:
        """Have all that the host sends to the service vanish, without a word to either."""
        ip("-n", self._space(host), "neigh", "replace", *self._neighbour(service), "lladdr", NOBODY_THERE)

    def find(self, host: str, service: str) -> None:
        """Have it arrive again."""
        ip("-n", self._space(host), "neigh", "del", *self._neighbour(service))

    def _neighbour(self, service: str) -> list[str]:
        return [self.address(service), "dev", "eth0"]

    def stop(self) -> None:
        """Take it all away; end the processes of its hosts before."""
        for command in (*(["netns", "del", self._space(host)] for host in self.hosts), ["link", "del", self.name]):
            try:
                ip(*command)
            except NoNetwork:
                continue
