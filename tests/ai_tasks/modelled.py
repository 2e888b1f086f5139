"""A task as the engine's model knows it."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass
class Modelled:
    """A task as the model knows it."""

    id: UUID
    owner: int
    priority: int
    status: str = "pending"
    place: str = "waiting"
    """waiting, parked, running or gone."""
    epoch: int = 0
    tries: int = 0
    crashes: int = 0
    order: int = 0
    """Its place among those of its user and class."""
    until: datetime | None = None
    """Parked: until then. Running: its lease."""
    held: list[int] = field(default_factory=list)
    """The epochs under which somebody once held it."""

    def leave(self, status: str) -> None:
        """End it."""
        self.status, self.place, self.until = status, "gone", None

    def stand_again(self) -> None:
        """Make it wait at its old place."""
        self.status, self.place, self.until = "pending", "waiting", None
