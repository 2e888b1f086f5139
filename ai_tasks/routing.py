"""Addresses of WebSockets."""

from django.urls import path

from ai_tasks.consumers import TaskSocket
from ai_tasks.operations_socket import OperationsSocket

websocket_urlpatterns = [
    path("ws/tasks/", TaskSocket.as_asgi()),
    path("ws/operations/", OperationsSocket.as_asgi()),
]
