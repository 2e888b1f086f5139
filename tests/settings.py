"""
The project's settings, for tests.

TEST_ON=postgresql runs on the PostgreSQL and Redis that TEST_DATABASE_URL and TEST_REDIS_URL name (see tests/services);
otherwise everything is embedded, on a SQLite file in a folder that is removed at the end.
"""

import atexit
import os
import shutil
import tempfile

for name in [*os.environ]:
    if name.startswith(("OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "OLLAMA_", "DATABASE_", "REDIS_", "CELERY_")):
        os.environ.pop(name)
if os.environ.get("TEST_ON") == "postgresql":
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
    os.environ["REDIS_URL"] = os.environ["TEST_REDIS_URL"]
os.environ["SECRET_KEY"] = "only for tests"
os.environ["TASUKI_VAR"] = tempfile.mkdtemp(prefix="tasuki-tests-")
atexit.register(shutil.rmtree, os.environ["TASUKI_VAR"], ignore_errors=True)

from config.settings import *  # noqa: E402, F403

# An application that embeds the platform: tests/host_app.
INSTALLED_APPS += ["tests.host_app"]  # noqa: F405
AI_TASK_TYPES += ["tests.host_app.work.SUMMARY"]  # noqa: F405
AI_DISPATCHER = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if "PYTEST_XDIST_WORKER" in os.environ and not EMBEDDED:  # noqa: F405
    # Tests that run side by side share a Redis; they must not hear each other.
    CHANNEL_LAYERS["default"]["CONFIG"]["prefix"] = f"tasuki-{os.environ['PYTEST_XDIST_WORKER']}"  # noqa: F405
    CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"] = f"tasuki-{os.environ['PYTEST_XDIST_WORKER']}:"  # noqa: F405
