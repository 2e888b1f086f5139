"""One POST to somebody's server: bounded in time and size, without redirects, cookies or proxies."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from ai_tasks.webhooks.addresses import ForbiddenAddress, guarded_socket

TIMEOUT = aiohttp.ClientTimeout(total=15, sock_connect=5, sock_read=10)
RESPONSE_BYTES = 1_024
"""How much of an answer is read, for the log."""
LONGEST_HEADERS = 8_190


@dataclass(frozen=True, slots=True)
class Letter:
    """What goes where."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it."""

    status: int | None
    """None: no answer; `error` says why."""
    error: str
    response: str
    """The beginning of the answer's body."""
    retry_after: str
    took_ms: int


def post_all(letters: Sequence[Letter]) -> list[Answer]:
    """Send all at once and return each one's answer, in their order; takes as long as the slowest, 15 s at most."""
    return asyncio.run(_post_all(letters))


async def _post_all(letters: Sequence[Letter]) -> list[Answer]:
    connector = aiohttp.TCPConnector(
        limit=len(letters) or 1, use_dns_cache=False, force_close=True, socket_factory=guarded_socket
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=TIMEOUT,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        max_line_size=LONGEST_HEADERS,
        max_field_size=LONGEST_HEADERS,
    ) as session:
        return await asyncio.gather(*(_post(session, each) for each in letters))


async def _post(session: aiohttp.ClientSession, letter: Letter) -> Answer:
    began, status, error, response, retry_after = time.monotonic(), None, "", b"", ""
    try:
        async with session.post(letter.url, data=letter.body, headers=letter.headers, allow_redirects=False) as answer:
            status, retry_after = answer.status, answer.headers.get("Retry-After", "")
            response = await answer.content.read(RESPONSE_BYTES)
    except Exception as failure:  # whatever a server or an address does is its delivery's affair alone
        # An answer whose body breaks off was given all the same.
        error = "" if status else _said(failure)
    took_ms = round((time.monotonic() - began) * 1000)
    text = response.decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return Answer(status, error, text, retry_after[:100], took_ms)


def _said(failure: Exception) -> str:
    """Return why in a few words of ours: a receiver's own would be shown to its owner as if we had said them."""
    cause = getattr(failure, "os_error", failure)
    if isinstance(cause, ForbiddenAddress):
        return "forbidden_address"
    if isinstance(failure, TimeoutError):
        return "timeout"
    if isinstance(failure, aiohttp.ClientConnectorError):
        return "no_connection"
    return "invalid_url" if isinstance(failure, aiohttp.InvalidURL) else "connection_failed"
