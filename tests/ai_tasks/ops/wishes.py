"""Opens the page of an action and sends its form, as a browser does."""

import re
from typing import Any

from django.test import Client
from django.urls import reverse
from django.utils.http import urlencode

REASON = "Because."


def address(action: str, **params: Any) -> str:
    return f"{reverse('ops:do', args=[action])}?{urlencode(params, doseq=True)}"


def token_of(client: Client, path: str) -> str:
    """Open the page and return its form's token."""
    page = client.get(path)
    assert page.status_code == 200, page.status_code
    found = re.search(r'name="token" value="([^"]+)"', page.content.decode())
    assert found
    return found[1]


def wish(client: Client, action: str, params: dict[str, Any], **filled: Any) -> Any:
    """Open the page, fill the form in and send it; return the answer."""
    path = address(action, **params)
    return client.post(path, {"token": token_of(client, path), "reason": REASON} | filled)
