"""How it stands on the internet: HTTPS alone, and `check --deploy` without a word."""

import subprocess
import sys
from pathlib import Path

import pytest

from config.stack import BASE_DIR, inherited

pytestmark = pytest.mark.stack

PRODUCTION = {"HTTPS_ONLY": "true", "SECRET_KEY": "k" * 25 + "0123456789abcdefghijklmnopqrstuvwxyz", "DEBUG": "false"}


def manage(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {**inherited(), "TASUKI_VAR": str(folder)}
    command = [sys.executable, str(BASE_DIR / "manage.py"), *arguments]
    return subprocess.run(command, env=given | environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_deployment_check_has_nothing_to_say(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", "--deploy", "--fail-level", "INFO", **PRODUCTION)

    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


ASKED = """
from django.test import Client
far, near = Client().get("/login/"), Client().get("/login/", secure=True)
proxied = Client().get("/login/", headers={"X-Forwarded-Proto": "https"})
print(far.status_code, far.get("Location"), Client().get("/healthz").status_code, proxied.status_code)
print(near["Strict-Transport-Security"], near.cookies["csrftoken"]["secure"])
"""


def test_https_is_the_only_way_in(tmp_path: Path) -> None:
    manage(tmp_path, "migrate", "-v0")

    plain = manage(tmp_path, "shell", "-v0", "-c", ASKED, ALLOWED_HOSTS="testserver", **PRODUCTION)
    proxied = manage(
        tmp_path, "shell", "-v0", "-c", ASKED, ALLOWED_HOSTS="testserver", BEHIND_PROXY="true", **PRODUCTION
    )

    assert plain.stdout.splitlines() == ["301 https://testserver/login/ 200 301", "max-age=31536000 True"], plain.stderr
    assert proxied.stdout.splitlines()[0] == "301 https://testserver/login/ 200 200"
