"""
The engine against a model of it: whatever is done in whatever order, both say the same.

The model is what a reader of SPEC would draw: tasks with a status, entries with a state, epochs that only grow, leases
that run out, queues that are first come, first served for each user within a class. It knows no SQL, no tags, no locks.
"""

import os
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from ai_tasks import submission, sweeps
from ai_tasks.models import AIGenerationTask
from ai_tasks.ops.queues import move_to_class
from ai_tasks.states import TaskStatus
from config.chaos.invariants import violations
from providers import control
from providers.errors import BadRequest, MalformedAnswer
from queueing.errors import AlreadyQueued
from queueing.models import DeadLetter, QueueEntry, TaskQueue
from queueing.states import Priority
from tests.ai_tasks.modelled import Modelled
from tests.engine import NOW, WORKER, answer, claim, text_task

LEASE = timedelta(seconds=90)
MAX_TRIES = 4
tasks = AIGenerationTask.objects


class Engine(RuleBasedStateMachine):
    """Does things to the engine and to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.atom = transaction.atomic()
        self.atom.__enter__()
        control.ensure_providers(NOW)
        self.users = [User.objects.create(username=name) for name in ("alice", "bob", "carol")]
        self.model: dict[UUID, Modelled] = {}
        self.now = NOW
        self.steps = 0
        self.is_paused = False

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atom.__exit__(None, None, None)

    # What the rules need.

    def next_order(self) -> int:
        self.steps += 1
        return self.steps

    def chosen(self, data: Any, *places: str) -> Modelled | None:
        found = [each for each in self.model.values() if each.place in places]
        return data.draw(strategies.sampled_from(found)) if found else None

    def entry(self, task: Modelled) -> QueueEntry:
        return QueueEntry.objects.get(task_id=task.id)

    def first_of(self, task: Modelled) -> Modelled:
        """Return the one that goes first of the task's user and class."""
        same = [
            each
            for each in self.model.values()
            if (each.owner, each.priority, each.place) == (task.owner, task.priority, "waiting")
        ]
        return min(same, key=lambda each: each.order)

    # The rules.

    @rule(user=strategies.integers(0, 2), priority=strategies.sampled_from(Priority), size=strategies.integers(1, 900))
    def submit(self, user: int, priority: Priority, size: int) -> None:
        owner = self.users[user]
        task = text_task(owner, now=self.now, priority=priority, max_output_tokens=size, model="simulator/sim-1")
        self.model[task.pk] = Modelled(task.pk, owner.pk, priority, order=self.next_order())

    @rule(data=strategies.data())
    def enqueue_twice(self, data: Any) -> None:
        if task := self.chosen(data, "waiting", "parked", "running"):
            with pytest.raises(AlreadyQueued):
                TaskQueue.objects.enqueue(tasks.get(pk=task.id), now=self.now)

    @rule()
    def take(self) -> None:
        self.wake_due()
        lease = claim(now=self.now)
        waiting = [each for each in self.model.values() if each.place == "waiting"]
        if lease is None:
            assert self.is_paused or not waiting
            return
        task = self.model[lease.task.pk]
        assert not self.is_paused
        assert task.place == "waiting"
        assert task is self.first_of(task)
        assert lease.epoch == task.epoch + 1
        task.status, task.place, task.epoch, task.until = "processing", "running", lease.epoch, self.now + LEASE
        task.held.append(lease.epoch)

    def wake_due(self) -> None:
        """Those whose time has come wait again; a plan begins with it."""
        if self.is_paused and not any(each.place == "waiting" for each in self.model.values()):
            TaskQueue.objects.queue("simulator")
        for each in self.model.values():
            if each.place == "parked" and each.until and each.until <= self.now:
                each.place, each.until = "waiting", None

    @rule(data=strategies.data())
    def complete(self, data: Any) -> None:
        if task := self.chosen(data, "running"):
            assert tasks.complete(task.id, task.epoch, answer(), now=self.now)
            task.leave("completed")

    @rule(data=strategies.data())
    def write_late(self, data: Any) -> None:
        """Who lost a lease, or ended it, writes under its epoch: nothing may move."""
        found = [(each, epoch) for each in self.model.values() for epoch in each.held]
        stale = [(each, epoch) for each, epoch in found if each.place != "running" or epoch != each.epoch]
        if not stale:
            return
        task, epoch = data.draw(strategies.sampled_from(stale))
        attempts = [
            lambda: tasks.complete(task.id, epoch, answer("late"), now=self.now),
            lambda: tasks.fail(task.id, epoch, MalformedAnswer("late"), now=self.now),
            lambda: tasks.release_task(task.id, epoch, now=self.now),
            lambda: tasks.renew(task.id, epoch, worker=WORKER, now=self.now),
        ]
        assert not data.draw(strategies.sampled_from(attempts))()

    @rule(data=strategies.data())
    def fail_for_good(self, data: Any) -> None:
        if task := self.chosen(data, "running"):
            assert tasks.fail(task.id, task.epoch, BadRequest("No."), now=self.now)
            task.tries += 1
            task.leave("failed")

    @rule(data=strategies.data())
    def fail_for_now(self, data: Any) -> None:
        if task := self.chosen(data, "running"):
            assert tasks.fail(task.id, task.epoch, MalformedAnswer("What?"), now=self.now)
            task.tries += 1
            if task.tries >= MAX_TRIES:
                task.leave("failed")
            else:
                self.back_off(task)

    def back_off(self, task: Modelled) -> None:
        """It waits again after a random while: only its bound is known."""
        task.stand_again()
        entry = self.entry(task)
        if entry.state == "parked":
            assert entry.parked_until is not None
            assert self.now < entry.parked_until <= self.now + timedelta(seconds=60)
            task.place, task.until = "parked", entry.parked_until

    @rule(data=strategies.data())
    def release(self, data: Any) -> None:
        if task := self.chosen(data, "running"):
            assert tasks.release_task(task.id, task.epoch, now=self.now)
            task.stand_again()

    @rule(data=strategies.data())
    def renew(self, data: Any) -> None:
        if task := self.chosen(data, "running"):
            assert tasks.renew(task.id, task.epoch, worker=WORKER, now=self.now)
            task.until = self.now + LEASE

    @rule(data=strategies.data())
    def cancel(self, data: Any) -> None:
        if task := self.chosen(data, "waiting", "parked"):
            submission.cancel(tasks.get(pk=task.id), now=self.now)
            task.leave("cancelled")

    @rule(data=strategies.data())
    def stop_a_running_one(self, data: Any) -> None:
        if task := self.chosen(data, "running"):
            submission.cancel(tasks.get(pk=task.id), now=self.now)
            assert tasks.fail(task.id, task.epoch, MalformedAnswer("Stopped."), now=self.now)
            task.tries += 1
            task.leave("cancelled")

    @rule(data=strategies.data())
    def retry(self, data: Any) -> None:
        dead = [each for each in self.model.values() if each.status == "failed"]
        if not dead:
            return
        task = data.draw(strategies.sampled_from(dead))
        submission.retry(tasks.get(pk=task.id), now=self.now)
        task.stand_again()
        task.tries = task.crashes = 0
        task.order = self.next_order()

    @rule(data=strategies.data(), priority=strategies.sampled_from(Priority))
    def reorder(self, data: Any, priority: Priority) -> None:
        if task := self.chosen(data, "waiting"):
            assert set(move_to_class([task.id], priority, now=self.now)) == {task.id}
            task.priority, task.order = priority, self.next_order()

    @rule()
    def derive_the_order_anew(self) -> None:
        TaskQueue.objects.reorder_by_priority(provider="simulator")

    @rule(paused=strategies.booleans())
    def pause(self, paused: bool) -> None:
        if paused:
            TaskQueue.objects.pause("simulator", reason="A test.", now=self.now)
        else:
            TaskQueue.objects.resume("simulator")
        self.is_paused = paused

    @rule(seconds=strategies.sampled_from((0, 1, 30, 61, 91)))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: any(each.place == "running" for each in self.model.values()))
    @rule()
    def rescue(self) -> None:
        sweeps.rescue_lost_leases(self.now)
        for task in self.model.values():
            if task.place == "running" and task.until and task.until < self.now:
                was_alone = task.crashes >= 2
                task.crashes += 1
                if was_alone:
                    task.leave("failed")
                else:
                    self.back_off(task)

    @rule()
    def sweep(self) -> None:
        """The other sweeps find nothing to mend."""
        assert sweeps.mend_tasks_without_entry(self.now) == 0
        assert sweeps.time_out(self.now) == 0

    # What must hold after every step.

    @invariant()
    def both_say_the_same(self) -> None:
        said = {row.pk: (row.status, row.epoch, row.tries, row.crashes) for row in tasks.all()}
        assert said == {key: (each.status, each.epoch, each.tries, each.crashes) for key, each in self.model.items()}
        places = dict(QueueEntry.objects.values_list("task_id", "state"))
        expected = {key: each.place for key, each in self.model.items() if each.place != "gone"}
        due = {key for key, each in self.model.items() if each.until and each.until <= self.now}
        assert {key: place for key, place in places.items() if key not in due} == {
            key: place for key, place in expected.items() if key not in due
        }
        assert set(places) == set(expected)

    @invariant()
    def the_dead_have_a_letter(self) -> None:
        dead = {key for key, each in self.model.items() if each.status == TaskStatus.FAILED}
        assert set(DeadLetter.objects.open().values_list("task_id", flat=True)) == dead

    @invariant()
    def no_rule_is_broken(self) -> None:
        assert violations() == []


def drive(examples: int, steps: int) -> None:
    """Let Hypothesis act. It prints the steps of a failure as they were: shrinking them takes minutes."""
    without_shrinking = settings(
        max_examples=examples,
        stateful_step_count=steps,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(Engine, settings=without_shrinking)


@pytest.mark.django_db
def test_the_engine_and_its_model_say_the_same() -> None:
    drive(examples=12, steps=40)


@pytest.mark.scale
@pytest.mark.django_db
def test_they_do_for_long() -> None:
    drive(examples=int(os.environ.get("TEST_EXAMPLES", "150")), steps=80)
