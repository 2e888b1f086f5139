"""WhiteNoise in an async chain: its own middleware is synchronous, and would hold a thread for every open stream."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

BLOCK = 64 * 1024


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """Serves static files; everything else passes without a thread."""

    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Serve the file of that address, if it is one."""
        if not iscoroutinefunction(self):
            response: HttpResponseBase = super().__call__(request)
            return response
        return self._serve_async(request)

    async def _serve_async(self, request: HttpRequest) -> HttpResponseBase:
        file = self.files.get(request.path_info)
        if file is None:
            response: HttpResponseBase = await self.get_response(request)
            return response
        return _streamed(await sync_to_async(self.serve)(file, request))


def _streamed(found: Any) -> StreamingHttpResponse:
    """Return the same answer with an asynchronous body: of a synchronous one Django's handler would warn."""
    answer = StreamingHttpResponse(_blocks(found), status=found.status_code, headers=dict(found.items()))
    if "Content-Type" not in found:
        del answer["Content-Type"]
    if found.file_to_stream is not None:
        answer._resource_closers.append(found.file_to_stream.close)  # type: ignore[attr-defined]
    return answer


async def _blocks(found: Any) -> AsyncIterator[bytes]:
    file = found.file_to_stream
    while file is not None and (block := await sync_to_async(file.read)(BLOCK)):
        yield block
