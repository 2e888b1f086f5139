"""What all adapters that speak HTTP share: the session, its bounds, and how failures of the wire are named."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from weakref import WeakKeyDictionary

import aiohttp

from providers.errors import ConnectTimeout, MalformedAnswer, StreamCut, Unavailable

LONGEST_BODY_BYTES = 16 * 1024 * 1024
LONGEST_ERROR_BYTES = 64 * 1024
HEADER_UNSAFE = re.compile(r"[^\x21-\x7e]")

_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = WeakKeyDictionary()


def session() -> aiohttp.ClientSession:
    """
    Return the running loop's session.

    It keeps no cookies, trusts no proxy from the environment, has no limit on connections (admission has) and no
    timeouts beside the connect timeout that each request gives.
    """
    loop = asyncio.get_running_loop()
    found = _sessions.get(loop)
    if found is None or found.closed:
        connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=20)
        found = _sessions[loop] = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
        )
    return found


async def close_session() -> None:
    """Close the running loop's session, if it has one."""
    found = _sessions.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.close()


@contextmanager
def wire_errors() -> Iterator[None]:
    """
    Name failures of the connection in our words.

    The causes are not chained: aiohttp's errors carry the request's headers, and with them the key.
    """
    try:
        yield
    except (aiohttp.ConnectionTimeoutError, aiohttp.ServerTimeoutError):
        raise ConnectTimeout from None
    except aiohttp.ClientConnectorError as error:
        raise Unavailable(f"No connection: {type(getattr(error, 'os_error', error)).__name__}.") from None
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
        raise Unavailable("The connection was closed before an answer.") from None
    except aiohttp.ClientResponseError:
        raise MalformedAnswer("The answer is not HTTP.") from None
    except aiohttp.InvalidURL:
        raise Unavailable("The provider's base URL is not one.") from None
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable(f"The connection failed: {type(error).__name__}.") from None


async def next_part(response: aiohttp.ClientResponse) -> bytes:
    """Return what has come of the body, waiting for something; empty at its end. Raises StreamCut."""
    try:
        return await response.content.readany()
    except (aiohttp.ClientError, aiohttp.http.HttpProcessingError, OSError):
        raise StreamCut from None


async def body_of(response: aiohttp.ClientResponse, bound: int = LONGEST_BODY_BYTES) -> bytes:
    """Return the whole body; raises StreamCut, and MalformedAnswer beyond the bound."""
    body = bytearray()
    while part := await next_part(response):
        body += part
        if len(body) > bound:
            raise MalformedAnswer("The answer is larger than any answer should be.")
    return bytes(body)


async def beginning_of(response: aiohttp.ClientResponse, bound: int = LONGEST_ERROR_BYTES) -> bytes:
    """Return the body's beginning, as far as it comes."""
    body = bytearray()
    with suppress(StreamCut):
        while len(body) < bound and (part := await next_part(response)):
            body += part
    return bytes(body[:bound])


def header_value(text: str) -> str:
    """Return a text that may stand in a header."""
    return HEADER_UNSAFE.sub("-", text)[:200]
