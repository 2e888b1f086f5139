"""
Measure this project on this machine, each on throw-away processes and data.

`latency`: from POST to the provider's call, on idle installations. `backlog`: what admission and submission cost beside
1,000 rows and beside 1,300,000. `streams`: what a web process adds to many streams at once. `chats`: lists, searches
and pages beside 10,000 chats. `gateway`: what `/v1` adds to its provider's calls, and how many it answers. `seed`: fill
the configured PostgreSQL with a large installation's rows, and stay.
"""

import json
import platform
from argparse import ArgumentParser
from typing import Any

from django import get_version
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from config import backlog, benchmarks, chats, gateway_load, seeding, streams

MEASURED = ("latency", "backlog", "streams", "chats", "gateway")
CHILDREN = ("fill", "measure", "measure_chats")
SHAPES = ("embedded", "services")
SIZES = ("waiting", "parked", "finished", "dead_letters", "users")


class Command(BaseCommand):
    """`manage.py benchmark`."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to measure and how often."""
        parser.add_argument("what", choices=[*MEASURED, "seed", *CHILDREN], metavar="|".join((*MEASURED, "seed")))
        parser.add_argument("--json", action="store_true", help="print JSON alone")
        latency = parser.add_argument_group("latency")
        latency.add_argument("--shape", choices=SHAPES, action="append", help="default: both")
        latency.add_argument("--count", type=int, default=200, help="tasks that are measured, after 10 to warm up")
        latency.add_argument("--interval-ms", type=int, default=50, help="time between two of them")
        sockets = parser.add_argument_group("streams")
        sockets.add_argument("--clients", type=int, default=500, help="open chats, on one web process")
        sockets.add_argument("--streams", type=int, default=100, help="chats of these that are answered at 20 tokens/s")
        sockets.add_argument("--seconds", type=int, default=20, help="length of an answer")
        sizes = parser.add_argument_group("backlog and seed")
        sizes.add_argument("--rounds", type=int, default=backlog.ROUNDS)
        for name in SIZES:
            text = f"default: {getattr(backlog.MANY, name):,}"
            sizes.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(backlog.MANY, name), help=text)
        parser.add_argument("--given", default="{}", help="(benchmarks call themselves)")

    def handle(self, *, what: str, **options: Any) -> None:
        """Measure and print."""
        getattr(self, what)(options)

    def latency(self, options: dict[str, Any]) -> None:
        """From POST to the provider's call."""
        results = []
        for each in options["shape"] or SHAPES:
            count, interval_ms = options["count"], options["interval_ms"]
            self.stderr.write(f"Measuring {each}: {count} tasks, one every {interval_ms} ms ...")
            results.append(benchmarks.latency(each, count=count, interval_seconds=interval_ms / 1000))
        if options["json"]:
            self._print_json({"benchmark": "latency", "results": results})
            return
        self.stdout.write(f"{'POST to provider call':24}{'p50':>8}{'p90':>8}{'p99':>8}{'max':>8}  (ms)")
        for row in results:
            figures = "".join(f"{row[name]:8.1f}" for name in ("p50_ms", "p90_ms", "p99_ms", "max_ms"))
            self.stdout.write(f"{row['shape']:24}{figures}")

    def backlog(self, options: dict[str, Any]) -> None:
        """Admission and submission beside few rows and many."""
        told = backlog.backlog(self.stderr.write, many=_size(options), rounds=options["rounds"])
        if options["json"]:
            self._print_json({"benchmark": "backlog", **told})
            return
        self.stdout.write(f"{'p50 in ms':12}{'few':>10}{'many':>10}{'ratio':>10}")
        for name in backlog.FIGURES:
            few, many = told["few"][name]["p50_ms"], told["many"][name]["p50_ms"]
            self.stdout.write(f"{name:12}{few:10.2f}{many:10.2f}{told['ratios'][name]:10.2f}")

    def streams(self, options: dict[str, Any]) -> None:
        """From a chunk's commit to its frame."""
        clients, streaming = options["clients"], options["streams"]
        self.stderr.write(f"Opening {clients} chats, {streaming} of them answered ...")
        told = streams.streams(clients=clients, streaming=streaming, seconds=options["seconds"])
        if options["json"]:
            self._print_json({"benchmark": "streams", **told})
            return
        figures = " ".join(f"{name} {value}" for name, value in told["delay_ms"].items())
        self.stdout.write(f"Commit to frame, in ms: {figures}; clients that lost something: {told['lost']}")

    def chats(self, options: dict[str, Any]) -> None:
        """Lists, searches and pages beside many chats."""
        told = chats.chats(self.stderr.write)
        if options["json"]:
            self._print_json({"benchmark": "chats", **told})
            return
        self.stdout.write(f"{told['sessions']:,} chats, {told['messages']:,} messages; p50 in ms")
        for name, value in told["p50_ms"].items():
            self.stdout.write(f"{name:24}{value:8.1f}")

    def gateway(self, options: dict[str, Any]) -> None:
        """`/v1` beside the direct call."""
        told = gateway_load.gateway(self.stderr.write, rounds=options["rounds"])
        if options["json"]:
            self._print_json({"benchmark": "gateway", **told})
            return
        self.stdout.write(f"{'25 requests/s, ms':20}{'p50':>8}{'p95':>8}{'p99':>8}")
        for name in ("direct", "gateway", "added"):
            self.stdout.write(f"{name:20}" + "".join(f"{value:8.1f}" for value in told[name].values()))
        for connections, rate in told["answers_per_second"].items():
            self.stdout.write(f"{connections:>4} connections: {rate:7.1f} answers/s")
        self.stdout.write(f"{told['answered']} answered, {told['failed']} failed; books: {told['books']}")

    def seed(self, options: dict[str, Any]) -> None:
        """Fill the configured database."""
        if connection.vendor != "postgresql":
            raise CommandError("Only PostgreSQL is filled: set DATABASE_URL and REDIS_URL.")
        seeding.seed(_size(options), self.stderr.write)

    def fill(self, options: dict[str, Any]) -> None:
        """Fill one of backlog's databases."""
        call_command("migrate", verbosity=0)
        self.stdout.write(json.dumps(backlog.fill(options["given"])))

    def measure(self, options: dict[str, Any]) -> None:
        """Measure in one of backlog's databases."""
        self.stdout.write(json.dumps(backlog.measure()))

    def measure_chats(self, options: dict[str, Any]) -> None:
        """Fill and measure chats' database."""
        self.stdout.write(json.dumps(chats.measure()))

    def _print_json(self, told: dict[str, Any]) -> None:
        versions = {"python": platform.python_version(), "django": get_version()}
        self.stdout.write(json.dumps({**told, "versions": versions}, indent=2))


def _size(options: dict[str, Any]) -> seeding.Size:
    return seeding.Size(**{name: options[name] for name in SIZES})
