"""An ASGI wrapper that bounds request bodies before Django reads, and spools, all of them."""

import json
import re
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

from ai_tasks.api.parsers import too_large
from ai_tasks.api.problems import CONTENT_TYPE
from ai_tasks.trail import request_id_from

IN_MEMORY = 1 << 20
"""A larger body of unknown length waits on disk."""
PIECE = 1 << 16


class BoundedBodies:
    """
    Refuses bodies over the bound with 413, and gives those without a Content-Length one.

    A body of declared length is refused unread. One of unknown length (chunked) is read up to the bound and handed on
    with its length, which Django and REST framework take for "no body" otherwise. `larger` has other bounds for paths
    that match a pattern.
    """

    def __init__(
        self, application: ASGI3Application, bound: int, larger: tuple[tuple[re.Pattern[str], int], ...] = ()
    ) -> None:
        self.application = application
        self.bound = bound
        self.larger = larger

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        declared = _header(scope, b"content-length")
        bound = next((bound for path, bound in self.larger if path.fullmatch(scope["path"])), self.bound)
        if declared is None:
            await self._serve_unknown_length(scope, receive, send, bound)
        elif declared.isdigit() and int(declared[:20]) > bound:
            await self._refuse(scope, send, bound)
        else:
            await self.application(scope, receive, send)

    async def _serve_unknown_length(
        self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable, bound: int
    ) -> None:
        with SpooledTemporaryFile(max_size=IN_MEMORY) as body:
            message: Any = {"more_body": True}
            while message.get("more_body"):
                message = await receive()
                if message.get("type") == "http.disconnect":
                    return
                body.write(message.get("body", b""))
                if body.tell() > bound:
                    await self._refuse(scope, send, bound)
                    return
            size = body.tell()
            body.seek(0)
            headers = [*scope["headers"], *([(b"content-length", str(size).encode())] if size else [])]
            await self.application({**scope, "headers": headers}, _replay(body, size, receive), send)

    async def _refuse(self, scope: HTTPScope, send: ASGISendCallable, bound: int) -> None:
        given = _header(scope, b"x-request-id")
        request_id = request_id_from(given.decode("latin-1") if given else None)
        document = too_large(bound).problem.document(request_id)
        body = json.dumps(document).encode()
        headers = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        ]
        start: Any = {"type": "http.response.start", "status": document["status"], "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _replay(body: IO[bytes], size: int, receive: ASGIReceiveCallable) -> Any:
    """Return what gives the body again, in pieces, and then what else there is to receive."""
    is_over = False

    async def replay() -> Any:
        nonlocal is_over
        if is_over:
            return await receive()
        piece = body.read(PIECE)
        is_over = body.tell() == size
        return {"type": "http.request", "body": piece, "more_body": not is_over}

    return replay


def _header(scope: HTTPScope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key.lower() == name), None)
