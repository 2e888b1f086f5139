"""
Measure this project on this machine, each on throw-away processes and data.

`drain`: how fast two workers empty a full queue, beside plain Celery and raw SQL. `concurrency`: what it takes to have
a thousand calls in flight. `latency`: from POST to the provider's call, on idle installations. `backlog`: what
admission and submission cost beside 1,000 rows and beside 1,300,000. `crowd`: admission alone with 50 providers,
10,000 users and one of them who floods every queue. `streams`: what a web process adds to many streams
at once. `chats`: lists, searches and pages beside 10,000 chats. `gateway`: what `/v1` adds to its provider's calls, and
how many it answers. `report`: all of these, as docs/performance.md has them. `seed`: fill the configured PostgreSQL
with a large installation's rows, and stay.
"""

import json
import os
import platform
from argparse import ArgumentParser
from io import StringIO
from typing import Any

from django import get_version
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from config import backlog, benchmarks, chats, crowd, draining, gateway_load, seeding, streams

MEASURED = ("drain", "latency", "concurrency", "backlog", "crowd", "streams", "chats", "gateway")
HEAD = """# Performance

Written by `manage.py benchmark report` (`make bench`): {cores} cores, {system}, Python {python}, Django {django}.

Every measurement starts PostgreSQL (durable: fsync and synchronous_commit on), Redis and the processes it needs, and
throws them away. Absolute figures are this machine's, with whatever else it did; what is beside a reference was
measured in turns with it. What they mean at other sizes: [scaling](scaling.md)."""
CHILDREN = ("fill", "measure", "fill_crowd", "measure_crowd", "measure_chats", "submit")
SHAPES = ("embedded", "services")
SIZES = ("waiting", "parked", "finished", "dead_letters", "users")


class Command(BaseCommand):
    """`manage.py benchmark`."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to measure and how often."""
        choices = [*MEASURED, "report", "seed"]
        parser.add_argument("what", choices=[*choices, *CHILDREN], metavar="|".join(choices))
        parser.add_argument("--json", action="store_true", help="print JSON alone")
        latency = parser.add_argument_group("latency")
        latency.add_argument("--shape", choices=SHAPES, action="append", help="default: both")
        latency.add_argument("--count", type=int, default=200, help="tasks that are measured, after 10 to warm up")
        latency.add_argument("--interval-ms", type=int, default=50, help="time between two of them")
        sockets = parser.add_argument_group("streams")
        sockets.add_argument("--clients", type=int, default=500, help="open chats, on one web process")
        sockets.add_argument("--streams", type=int, default=100, help="chats of these that are answered at 20 tokens/s")
        sockets.add_argument("--seconds", type=int, default=20, help="length of an answer")
        parser.add_argument(
            "--rounds", type=int, default=backlog.ROUNDS, help="runs of each, of which the median is told"
        )
        many = parser.add_argument_group("drain and concurrency")
        many.add_argument("--tasks", type=int, help="default: 5,000 to drain, 1,000 at once")
        many.add_argument("--seconds-each", type=float, default=1.0, help="how long each of those at once waits")
        sizes = parser.add_argument_group("backlog and seed")
        for name in SIZES:
            text = f"default: {getattr(backlog.MANY, name):,}"
            sizes.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(backlog.MANY, name), help=text)
        parser.add_argument("--given", default="{}", help="(benchmarks call themselves)")

    def handle(self, *, what: str, **options: Any) -> None:
        """Measure and print."""
        getattr(self, what)(options)

    def drain(self, options: dict[str, Any]) -> None:
        """A full queue."""
        told = draining.drain(self.stderr.write, count=options["tasks"] or 5_000, rounds=options["rounds"])
        if options["json"]:
            self._print_json({"benchmark": "drain", **told})
            return
        self.stdout.write(f"{told['tasks']:,} tasks{'a second':>20}{'from - to':>20}   CPU in ms a task")
        for name, figures in told["runs"].items():
            speed, cpu = figures.pop("per_second"), [f"{each[7:]} {figures[each]['median']}" for each in figures]
            low, high = speed["from_to"]
            self.stdout.write(f"{name:14}{speed['median']:18.1f}{low:12.1f} - {high:<8.1f} {', '.join(cpu)}")
        self.stdout.write(f"Of plain Celery: {told['ratios']['plain celery']}; of raw SQL: {told['ratios']['raw SQL']}")

    def concurrency(self, options: dict[str, Any]) -> None:
        """Many calls in flight."""
        given = {"count": options["tasks"] or 1_000, "seconds": options["seconds_each"], "rounds": options["rounds"]}
        told = draining.concurrency(self.stderr.write, **given)
        if options["json"]:
            self._print_json({"benchmark": "concurrency", **told})
            return
        self.stdout.write(f"{told['tasks']:,} tasks of {told['seconds_each']} s{'seconds':>12}{'MB':>10}{'CPU s':>10}")
        for name, figures in told["runs"].items():
            values = [figures[each]["median"] for each in ("all_seconds", "megabytes", "cpu_seconds")]
            self.stdout.write(f"{name:24}" + "".join(f"{value:12.1f}" for value in values))

    def submit(self, options: dict[str, Any]) -> None:
        """Submit what `drain` and `concurrency` measure."""
        draining.fill(*json.loads(options["given"]))

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

    def crowd(self, options: dict[str, Any]) -> None:
        """Admission beside fifty providers and ten thousand users."""
        told = crowd.crowd(self.stderr.write, rounds=options["rounds"])
        if options["json"]:
            self._print_json({"benchmark": "crowd", **told})
            return
        columns = ("plan_p50_ms", "plan_p95_ms", "admitted_per_second", "share_of_who_floods")
        self.stdout.write(f"{'providers x users':20}" + "".join(f"{name:>22}" for name in columns))
        for name in crowd.SIZES:
            row = told[name]
            size = f"{row['providers']} x {row['users']:,}"
            self.stdout.write(f"{size:20}" + "".join(f"{row[column]:22}" for column in columns))
        self.stdout.write(f"A plan in the crowd, of one among few: {told['ratio']}")

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

    def report(self, options: dict[str, Any]) -> None:
        """Everything, as Markdown."""
        versions = {"python": platform.python_version(), "django": get_version()}
        self.stdout.write(HEAD.format(cores=os.cpu_count(), system=platform.platform(), **versions))
        for what in MEASURED:
            told = StringIO()
            call_command("benchmark", what, stdout=told, stderr=self.stderr, rounds=options["rounds"])
            title = (getattr(self, what).__doc__ or "").rstrip(".")
            self.stdout.write(f"\n## {title}\n\n```\n$ manage.py benchmark {what}\n{told.getvalue()}```")

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

    def fill_crowd(self, options: dict[str, Any]) -> None:
        """Fill one of crowd's databases."""
        call_command("migrate", verbosity=0)
        self.stdout.write(json.dumps(crowd.fill(options["given"])))

    def measure_crowd(self, options: dict[str, Any]) -> None:
        """Measure in one of crowd's databases."""
        self.stdout.write(json.dumps(crowd.measure(options["given"])))

    def measure_chats(self, options: dict[str, Any]) -> None:
        """Fill and measure chats' database."""
        self.stdout.write(json.dumps(chats.measure()))

    def _print_json(self, told: dict[str, Any]) -> None:
        versions = {"python": platform.python_version(), "django": get_version()}
        self.stdout.write(json.dumps({**told, "versions": versions}, indent=2))


def _size(options: dict[str, Any]) -> seeding.Size:
    return seeding.Size(**{name: options[name] for name in SIZES})
