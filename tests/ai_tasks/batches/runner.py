"""Goes on with a batch in a process of its own, so that a test can kill it and weigh it: DATABASE BATCH."""

import os
import resource
import sys
from uuid import UUID

import django
from django.conf import settings

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"


def main(database: str, batch_id: str) -> None:
    """Print after each piece the status, how many tasks were begun, and the most memory so far in MB."""
    settings.DATABASES["default"]["NAME"] = database
    settings.AI_BATCH_LIVE_LINES = 100_000
    django.setup()
    from ai_tasks.batches.models import BatchLine, LineState  # noqa: PLC0415 (needs the settings)
    from ai_tasks.compat import batch_work  # noqa: PLC0415

    for batch in batch_work.carry_out(UUID(batch_id)):
        begun = BatchLine.objects.filter(batch=batch).exclude(state=LineState.NEW)
        count = begun.count() if batch.status == "in_progress" else 0
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(batch.status, count, peak, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
