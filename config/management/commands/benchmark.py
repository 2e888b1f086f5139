"""Measure this project on this machine; `latency`: from POST to the provider's call, on idle installations."""

import json
import platform
from argparse import ArgumentParser
from typing import Any

from django import get_version
from django.core.management.base import BaseCommand

from config import benchmarks

SHAPES = ("embedded", "services")


class Command(BaseCommand):
    """`manage.py benchmark`."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to measure and how often."""
        parser.add_argument("what", choices=["latency"])
        parser.add_argument("--shape", choices=SHAPES, action="append", help="default: both")
        parser.add_argument("--count", type=int, default=200, help="tasks that are measured, after 10 to warm up")
        parser.add_argument("--interval-ms", type=int, default=50, help="time between two of them")
        parser.add_argument("--json", action="store_true", help="print JSON alone")

    def handle(self, *, shape: list[str] | None, count: int, interval_ms: int, **options: Any) -> None:
        """Measure and print."""
        results = []
        for each in shape or SHAPES:
            self.stderr.write(f"Measuring {each}: {count} tasks, one every {interval_ms} ms ...")
            results.append(benchmarks.latency(each, count=count, interval_seconds=interval_ms / 1000))
        if options["json"]:
            versions = {"python": platform.python_version(), "django": get_version()}
            self.stdout.write(json.dumps({"benchmark": "latency", "results": results, "versions": versions}, indent=2))
            return
        self.stdout.write(f"{'POST to provider call':24}{'p50':>8}{'p90':>8}{'p99':>8}{'max':>8}  (ms)")
        for row in results:
            figures = "".join(f"{row[name]:8.1f}" for name in ("p50_ms", "p90_ms", "p99_ms", "max_ms"))
            self.stdout.write(f"{row['shape']:24}{figures}")
