"""Carries a redrive out in a process of its own, so that a test can kill it: DATABASE REDRIVE."""

import os
import sys
from uuid import UUID

import django
from django.conf import settings

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"


def main(database: str, redrive_id: str) -> None:
    """Print how many were sent after each batch."""
    settings.DATABASES["default"]["NAME"] = database
    django.setup()
    from ai_tasks.redrives import jobs  # noqa: PLC0415 (needs the settings)

    for job in jobs.carry_out(UUID(redrive_id)):
        print(job.done, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
