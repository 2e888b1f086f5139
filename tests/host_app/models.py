"""The host's own data."""

from django.conf import settings
from django.db import models


class Summary(models.Model):
    """A text of a user's, and what became of the wish to have it summarised."""

    class State(models.TextChoices):
        """How far it is."""

        WAITING = "waiting"
        READY = "ready"
        FAILED = "failed"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    text = models.TextField()
    task_id = models.UUIDField(unique=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    summary = models.TextField(blank=True, default="")

    objects: models.Manager["Summary"] = models.Manager()

    def __str__(self) -> str:
        return f"{self.state}: {self.text[:40]}"
