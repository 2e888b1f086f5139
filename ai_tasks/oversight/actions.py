"""What an operator may do: each wish has a name, and a permission of that name."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Action(models.TextChoices):
    """A wish of an operator; its value is its slug in addresses and in the audit."""

    PAUSE_PROVIDER = "pause-provider", _("Pause a provider")
    """Nothing is admitted or started there; what runs goes on."""
    RESUME_PROVIDER = "resume-provider", _("Resume a provider")
    DRAIN_PROVIDER = "drain-provider", _("Drain a provider")
    """As a pause, but what is handed over already is still run."""
    FORCE_CIRCUIT = "force-circuit", _("Force a circuit")
    """Open, closed, or back to itself."""
    FORCE_FALLBACK = "force-fallback", _("Force fallback")
    """The circuit is forced open for some time, so that routes go on to their next place."""
    PROBE_PROVIDER = "probe-provider", _("Probe a provider")
    """One small call now."""
    SET_LIMITS = "set-limits", _("Change limits")
    CANCEL_TASK = "cancel-task", _("Cancel tasks")
    RETRY_TASK = "retry-task", _("Retry tasks")
    REPRIORITISE = "reprioritise", _("Change priorities")
    """Of chosen tasks, or a queue's whole order anew."""
    RELEASE_LEASE = "release-lease", _("Release leases")
    """Running tasks are taken from their workers, and run again."""
    REDRIVE = "redrive", _("Redrive dead letters")
    DISCARD = "discard", _("Discard dead letters")
    EDIT_REDRIVE = "edit-redrive", _("Redrive an edited copy")
    STOP_JOB = "stop-job", _("Stop a job")
    RESUME_JOB = "resume-job", _("Let a job go on")

    @property
    def codename(self) -> str:
        """Return the permission's name within the app."""
        return self.value.replace("-", "_")

    @property
    def permission(self) -> str:
        """Return the permission without which nobody does it."""
        return f"ai_tasks.{self.codename}"


PERMISSIONS: tuple[tuple[str, str], ...] = (
    *((action.codename, f"Can as an operator: {action.value.replace('-', ' ')}") for action in Action),
    ("view_payloads", "Can see what tasks were asked and answered"),
    ("view_costs", "Can see what everybody's tasks cost"),
    ("export_costs", "Can take costs away as a file"),
)
"""Of the whole console, as (codename, name); they hang on the audit's model, for want of one of their own."""
