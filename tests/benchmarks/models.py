"""The row that a team keeps of each task."""

from django.db import models


class Job(models.Model):
    """A task's row."""

    status = models.CharField(max_length=20, default="pending")
    prompt = models.TextField()
    result = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    finishes = models.IntegerField(default=0)

    def __str__(self) -> str:
        """Name it."""
        return f"job {self.pk}"
