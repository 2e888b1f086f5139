"""Addresses of WebSockets."""

import re

from django.urls import path

from ai_tasks.api.parsers import WITH_PICTURES
from ai_tasks.consumers import TaskSocket
from ai_tasks.operations_socket import OperationsSocket

websocket_urlpatterns = [
    path("ws/tasks/", TaskSocket.as_asgi()),
    path("ws/operations/", OperationsSocket.as_asgi()),
]

LARGER_BODIES = ((re.compile(r"/api/v1/tasks/?|/v1/(chat/completions|responses)/?"), WITH_PICTURES),)
"""Paths that take more than a body of JSON may have, and how many bytes: what is not pictures is bound as elsewhere."""
