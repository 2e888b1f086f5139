"""Which of one user's tasks have moved since that was last told: hints make it fast, looking makes it sure."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from ai_tasks.models import AIGenerationTask
from ai_tasks.representation import Json, tasks_json
from ai_tasks.states import ACTIVE

MOST = 1_000
"""Tasks looked at at once, newest first; who has more live ones learns of the others by hints alone."""
NONE = UUID(int=0)


class Watch:
    """All tasks of one user. It remembers the live ones, and which was the newest."""

    def __init__(self, owner_id: int) -> None:
        self._tasks = AIGenerationTask.objects.alive().filter(owner=owner_id)
        self._told: dict[UUID, datetime] = dict(self._tasks.active().values_list("pk", "updated_at")[:MOST])
        self._newest: UUID = self._tasks.order_by("-id").values_list("pk", flat=True).first() or NONE

    def look(self) -> list[Json]:
        """Return every task that has moved, in the order of their creation."""
        found = self._tasks.filter(pk__gt=self._newest).order_by("-id").values_list("pk", flat=True)[:MOST]
        live = self._tasks.active().order_by("-id").values_list("pk", flat=True)[:MOST]
        return self.moved({*found, *live, *self._told})

    def moved(self, task_ids: Iterable[UUID]) -> list[Json]:
        """Return those of these tasks that have moved, in the order of their creation."""
        rows = self._tasks.filter(pk__in=task_ids).order_by("id")
        news = [row for row in rows if self._told.get(row.pk) != row.updated_at]
        for row in news:
            self._newest = max(self._newest, row.pk)
            if row.status in ACTIVE:
                self._told[row.pk] = row.updated_at
            else:
                self._told.pop(row.pk, None)
        return tasks_json(news)
