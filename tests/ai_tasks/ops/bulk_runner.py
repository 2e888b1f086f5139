"""Carries a bulk job out in a process of its own, so that a test can kill it: DATABASE JOB."""

import os
import sys
from uuid import UUID

import django
from django.conf import settings

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"


def main(database: str, job_id: str) -> None:
    """Print how many were done after each batch."""
    settings.DATABASES["default"]["NAME"] = database
    django.setup()
    from ai_tasks.ops import bulk  # noqa: PLC0415 (needs the settings)

    for job in bulk.carry_out(UUID(job_id)):
        print(job.done, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
