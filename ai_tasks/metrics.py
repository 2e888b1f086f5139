"""
What Prometheus is told: read from the same rows as everything else, so that one scrape of any web process tells all.

Gauges say how it is now. Counters and histograms count what ended since midnight (UTC), from the rollups, which are
some ninety seconds behind: the turn of a day is a reset to `rate()` and `increase()`, and a scrape costs the same in
the tenth year.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import accumulate
from typing import Any

from django.db.models import Count, QuerySet, Sum
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from ai_tasks import capacity, clock
from ai_tasks.accounts import budgets, histograms
from ai_tasks.accounts.coverage import DAY, HOUR, floor, stats
from ai_tasks.accounts.models import Attempt, AttemptState, Budget
from ai_tasks.accounts.rollup_models import RollupState, TaskStat, UsageStat
from ai_tasks.models import WorkerProcess
from providers import standing
from queueing import standing as queue_standing
from queueing.models import DeadLetter, QueueEntry, TaskQueue
from queueing.states import Lane

GATES = ("closed", "open", "half_open")
BOUNDS_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800)
TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
MOST_LETTERS = 10_000
PUBLIC_SCOPES = (Budget.Scope.GLOBAL, Budget.Scope.PROVIDER, Budget.Scope.TASK_TYPE)
"""Budgets of people and their keys are theirs: GET /budgets tells them."""


class Metrics(Collector):
    """Everything, as it is when somebody asks."""

    def describe(self) -> list[Any]:
        """Return nothing: what there is need not be read to be registered."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield the families of metrics."""
        now = clock.now()
        yield from _queues(now)
        yield from _providers(now)
        yield from _ended(now)
        yield from _used(now)
        yield from _budgets(now)
        yield from _machinery(now)


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tasuki_{name}", words, labels=labels)


def _counter(name: str, words: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"tasuki_{name}", words, labels=labels)


def _histogram(name: str, words: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"tasuki_{name}", words, labels=("provider", "type"))


def _queues(now: datetime) -> Iterator[Any]:
    entries = _gauge("queue_entries", "Live entries; beyond ten thousand an estimate.", "provider", "lane", "state")
    parked = _gauge(
        "queue_parked_entries", "Entries that wait for something of their own.", "provider", "lane", "reason"
    )
    oldest = _gauge("queue_oldest_wait_seconds", "Since the entry that waits longest came.", "provider", "lane")
    paused = _gauge("queue_paused", "1: an operator holds it.", "provider", "lane")
    mark = _gauge("queue_hard_mark", "Entries from which on new ones are refused.", "provider", "lane")
    blocked = _gauge("queue_blocked", "1: why admission passes over what is next.", "provider", "lane", "reason")
    queues = list(TaskQueue.objects.order_by("provider", "lane"))
    depths = queue_standing.depths(sorted({queue.provider for queue in queues}))
    for queue in queues:
        place, depth = [queue.provider, queue.lane], depths[queue.provider][queue.lane]
        for state in ("waiting", "queued", "running"):
            entries.add_metric([*place, state], getattr(depth, state))
        entries.add_metric([*place, "parked"], depth.parked_total)
        for reason, count in sorted(depth.parked.items()):
            parked.add_metric([*place, reason], count)
        oldest.add_metric(place, max((now - depth.oldest_at).total_seconds(), 0.0) if depth.oldest_at else 0.0)
        paused.add_metric(place, float(queue.is_paused(now)))
        if queue.hard_mark is not None:
            mark.add_metric(place, queue.hard_mark)
    for *place, reason in _refusals(queues, now):
        blocked.add_metric([*place, reason], 1.0)
    yield from (entries, parked, oldest, paused, mark, blocked, _dead_letters())


def _refusals(queues: list[TaskQueue], now: datetime) -> Iterator[tuple[str, str, str]]:
    """Yield (provider, lane, reason) of lanes whose next entry admission would pass over now."""
    workers = WorkerProcess.objects.consumers(now)
    for provider in sorted({queue.provider for queue in queues}):
        room = None
        for lane in Lane.values:
            order = QueueEntry.objects.waiting().of(provider, lane).order_by("priority", "fair_tag", "id")
            if (entry := order.first()) is None:
                continue
            room = room or capacity.measure(provider, workers, TaskQueue.objects.filter(provider=provider), now)
            if reason := room.refusal(lane, entry.priority, entry.estimate_tokens):
                yield provider, lane, reason


def _dead_letters() -> GaugeMetricFamily:
    """Return the open ones by kind; of more than MOST_LETTERS some."""
    dead = _gauge("dead_letters_open", "Dead letters nobody saw to; ten thousand at most.", "provider", "error_class")
    rows = DeadLetter.objects.open().order_by().values_list("provider", "error_class")[:MOST_LETTERS]
    for kind, count in sorted(Counter(rows).items()):
        dead.add_metric(kind, count)
    return dead


def _providers(now: datetime) -> Iterator[Any]:
    flight = _gauge("calls_in_flight", "Attempts at a provider.", "provider", "model")
    circuit = _gauge(
        "circuit_state", "1 for the state it is in; model empty: the provider's.", "provider", "model", "state"
    )
    slots = _gauge("limit_concurrency", "Calls at once that are allowed.", "provider", "model")
    started = Attempt.objects.filter(state=AttemptState.STARTED)
    for provider, model, count in started.values_list("provider", "model").annotate(count=Count("id")).order_by():
        flight.add_metric([provider, model], count)
    for provider, models in standing.circuits_of_all(now).items():
        for model, told in models.items():
            for state in GATES:
                circuit.add_metric([provider, model, state], float(told["state"] == state))
    for provider, bounds in standing.limits_of_all().items():
        for model, limits in bounds.items():
            if limits.max_concurrency is not None:
                slots.add_metric([provider, model], limits.max_concurrency)
    yield from (flight, circuit, slots)


def _today(now: datetime) -> QuerySet[TaskStat]:
    """Return the rows of today, each time in one of them: hours as far as they are rolled up, then minutes."""
    midnight = floor(now, DAY)
    return TaskStat.objects.filter(stats(midnight, midnight + DAY, longest=HOUR))


def _ended(now: datetime) -> Iterator[Any]:
    ended = _counter("tasks_ended", "Tasks that ended.", "provider", "type", "status")
    families = {
        "waits": _histogram("task_wait_seconds", "From creation to the first start."),
        "runs": _histogram("task_run_seconds", "From the first start to the end."),
        "first_tokens": _histogram("first_token_seconds", "From the last attempt's start to its first token."),
    }
    sums: dict[str, dict[tuple[str, str], dict[str, int]]] = {name: {} for name in families}
    seconds: dict[str, dict[tuple[str, str], float]] = {"waits": {}, "runs": {}}
    counts: dict[tuple[str, str, str], int] = {}
    for row in _today(now):
        kind, key = (row.provider, row.task_type), (row.provider, row.task_type, row.status)
        counts[key] = counts.get(key, 0) + row.count
        for name in families:
            histograms.add(sums[name].setdefault(kind, {}), getattr(row, name))
        for name, time in (("waits", row.wait_time), ("runs", row.run_time)):
            seconds[name][kind] = seconds[name].get(kind, 0.0) + time.total_seconds()
    for key, count in sorted(counts.items()):
        ended.add_metric(key, count)
    yield ended
    for name, family in families.items():
        for kind, histogram in sorted(sums[name].items()):
            family.add_metric(kind, _buckets(histogram), seconds.get(name, {}).get(kind))
        yield family


def _buckets(histogram: histograms.Histogram) -> list[tuple[str, float]]:
    """Return cumulative counts: a bucket of ours counts where its upper bound lies."""
    within = [0] * (len(BOUNDS_SECONDS) + 1)
    for number, count in histogram.items():
        upper = histograms.GROWTH ** int(number) / 1000
        place = next((place for place, bound in enumerate(BOUNDS_SECONDS) if upper <= bound), len(BOUNDS_SECONDS))
        within[place] += count
    names = [*(str(float(bound)) for bound in BOUNDS_SECONDS), "+Inf"]
    return list(zip(names, map(float, accumulate(within)), strict=True))


def _used(now: datetime) -> Iterator[Any]:
    tokens = _counter("tokens", "Tokens, in disjoint kinds.", "provider", "model", "kind")
    calls = _counter("calls_charged", "Calls that were charged.", "provider", "model")
    cost = _counter("cost_usd", "Money, estimates included.", "provider", "model")
    unpriced = _counter("calls_unpriced", "Of them without a price.", "provider", "model")
    rows = UsageStat.objects.filter(period=UsageStat.Period.QUARTER, starts_at__gte=floor(now, DAY))
    sums = [Sum(name) for name in (*TOKENS, "calls", "unpriced", "amount_usd")]
    grouped = rows.values_list("provider", "model").annotate(*sums).order_by("provider", "model")
    for provider, model, *counted, charged, without, usd in grouped:
        for name, count in zip(TOKENS, counted, strict=True):
            tokens.add_metric([provider, model, name.removesuffix("_tokens")], count)
        calls.add_metric([provider, model], charged)
        cost.add_metric([provider, model], float(usd))
        unpriced.add_metric([provider, model], max(without, 0))
    yield from (tokens, calls, cost, unpriced)


def _budgets(now: datetime) -> Iterator[Any]:
    labels = ("scope", "key", "interval")
    limit = _gauge("budget_limit_usd", "What may be spent in this month or day.", *labels)
    used = _gauge("budget_used_usd", "What is spent or held.", *labels)
    enabled = list(Budget.objects.filter(scope__in=PUBLIC_SCOPES, is_enabled=True).order_by("id"))
    for period in budgets.read_periods(enabled, now):
        place = [period.budget.scope, period.budget.scope_key, period.budget.interval]
        limit.add_metric(place, float(period.limit_usd))
        used.add_metric(place, float(period.used_usd))
    yield from (limit, used)


def _machinery(now: datetime) -> Iterator[Any]:
    workers = _gauge("workers", "Worker processes that are there.")
    threads = _gauge("worker_threads", "Tasks that they can run at once.")
    lag = _gauge("rollup_age_seconds", "How far the rollups are behind.", "kind")
    sweep = _gauge("sweep_age_seconds", "Since the queues' flow was noted, once a minute.")
    told = WorkerProcess.objects.live(now).aggregate(count=Count("pk"), threads=Sum("threads"))
    workers.add_metric([], told["count"])
    threads.add_metric([], told["threads"] or 0)
    for name, until in RollupState.objects.order_by("name").values_list("name", "until"):
        lag.add_metric([name], max((now - until).total_seconds(), 0.0))
    if noted_at := queue_standing.newest_sample_at():
        sweep.add_metric([], max((now - noted_at).total_seconds(), 0.0))
    yield from (workers, threads, lag, sweep)
