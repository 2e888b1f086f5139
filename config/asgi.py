"""The ASGI application: HTTP by Django, WebSockets by Channels."""

import asyncio
import os
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
http: Any = get_asgi_application()

# Models are importable only from here on.
from django.conf import settings  # noqa: E402
from django.urls import re_path  # noqa: E402

from ai_tasks import events, routing  # noqa: E402
from ai_tasks.api.bodies import BoundedBodies  # noqa: E402
from ai_tasks.compat import uploads  # noqa: E402
from ai_tasks.handshake import SocketAccess  # noqa: E402
from ai_tasks.sockets import NotFoundSocket  # noqa: E402
from chat import routing as chat_routing  # noqa: E402
from config import daphne_memory  # noqa: E402

daphne_memory.apply()

larger = (*routing.LARGER_BODIES, *chat_routing.LARGER_BODIES, *uploads.LARGER_BODIES)
sockets = [
    *routing.websocket_urlpatterns,
    *chat_routing.websocket_urlpatterns,
    re_path("", NotFoundSocket.as_asgi()),
]
protocols = ProtocolTypeRouter(
    {
        "http": BoundedBodies(http, settings.DATA_UPLOAD_MAX_MEMORY_SIZE, larger),
        "websocket": SocketAccess(URLRouter(sockets)),
    }
)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve one connection; the loop that serves is the one where an in-memory channel layer lives."""
    events.use_loop(asyncio.get_running_loop())
    await protocols(scope, receive, send)
