"""The order's rows beside the entries: each class's clock, each user's share of it, and how fast a queue moves."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from queueing.entries import PriorityClassManager
from queueing.states import Priority


class PriorityClass(models.Model):
    """The clock of one priority in one queue."""

    queue = models.ForeignKey("queueing.TaskQueue", on_delete=models.CASCADE, related_name="classes")
    priority = models.PositiveSmallIntegerField(choices=Priority.choices)
    virtual_time = models.FloatField(default=0.0)
    """Fair tag of the last admission (V of start-time fair queueing)."""
    last_served_at = models.DateTimeField(null=True, blank=True)
    """Last admission; aging counts from here."""
    served = models.PositiveBigIntegerField(default=0)
    """Entries admitted so far; only ever grows."""

    head_id: int | None = None
    """Does anything wait in it? Known where `with_heads` annotated it."""

    objects = PriorityClassManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=("queue", "priority"), name="class_once_per_queue")]
        verbose_name = _("priority class")
        verbose_name_plural = _("priority classes")

    def __str__(self) -> str:
        return f"{self.queue_id}:{self.priority}"


class FairShare(models.Model):
    """How far one user's work reaches in one class, and what weight it has."""

    queue = models.ForeignKey("queueing.TaskQueue", on_delete=models.CASCADE, related_name="shares")
    priority = models.PositiveSmallIntegerField(choices=Priority.choices)
    owner_key = models.CharField(max_length=64)
    last_tag = models.FloatField(default=0.0)
    """Tag of the newest entry."""
    correction = models.FloatField(default=0.0)
    """Tokens used beyond the estimates so far (less than zero: given back); charged with the next tag."""
    weight = models.FloatField(default=1.0, validators=[MinValueValidator(0.001), MaxValueValidator(1000.0)])
    """Twice the weight, twice the tokens in a contended class."""
    entered = models.PositiveBigIntegerField(default=0)
    """Entries that came so far; only ever grows."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("queue", "priority", "owner_key"), name="share_once_per_owner"),
            models.CheckConstraint(condition=Q(weight__gt=0), name="share_weight_positive"),
        ]
        verbose_name = _("fair share")
        verbose_name_plural = _("fair shares")

    def __str__(self) -> str:
        return f"{self.owner_key}: {self.last_tag}"


class FlowSample(models.Model):
    """How many entries a queue had taken in and let out by a moment; two of them make a rate."""

    queue = models.ForeignKey("queueing.TaskQueue", on_delete=models.CASCADE, related_name="samples")
    taken_at = models.DateTimeField()
    entered = models.PositiveBigIntegerField()
    served = models.PositiveBigIntegerField()

    class Meta:
        indexes = [models.Index(fields=("queue", "-taken_at"), name="sample_newest")]
        verbose_name = _("flow sample")
        verbose_name_plural = _("flow samples")

    def __str__(self) -> str:
        return f"{self.queue_id} at {self.taken_at}"
