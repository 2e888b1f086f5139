"""
Signatures after Standard Webhooks 1.0 (www.standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`.

A secret is derived from SECRET_KEY and the endpoint's salt, so that the database alone signs nothing.
"""

import hmac
import secrets
from base64 import b64encode
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings

OVERLAP = timedelta(hours=24)
"""How long the secret before signs too."""


def new_salt() -> str:
    """Return 256 random bits, in hex."""
    return secrets.token_hex(32)


def secret_of(salt: str) -> str:
    """Return the secret that belongs to a salt, as receivers are given it: `whsec_` and 32 bytes in base64."""
    return f"whsec_{b64encode(_key(salt)).decode()}"


def headers(endpoint: Any, message_id: UUID, body: bytes, now: datetime) -> dict[str, str]:
    """Return the three headers that say and prove who sent this, when, signed by each secret in force."""
    timestamp = str(int(now.timestamp()))
    signed = f"{message_id}.{timestamp}.".encode() + body
    salts = [endpoint.salt]
    if endpoint.old_salt and endpoint.old_salt_until and now < endpoint.old_salt_until:
        salts.append(endpoint.old_salt)
    signatures = [f"v1,{b64encode(hmac.digest(_key(salt), signed, sha256)).decode()}" for salt in salts]
    return {
        "webhook-id": str(message_id),
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def _key(salt: str) -> bytes:
    return hmac.digest(settings.SECRET_KEY.encode(), b"tasuki.webhook." + salt.encode(), sha256)
