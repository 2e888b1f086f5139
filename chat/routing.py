"""Addresses of WebSockets."""

import re

from django.urls import path

from chat.attachments import LARGEST_IMAGE_BYTES
from chat.consumers import ChatSocket

websocket_urlpatterns = [path("ws/chat/<str:session_id>/", ChatSocket.as_asgi())]

LARGER_BODIES = ((re.compile(r"/api/v1/chat/sessions/[^/]+/attachments/?"), LARGEST_IMAGE_BYTES),)
"""Paths that take more than a body of JSON may have, and how many bytes."""
