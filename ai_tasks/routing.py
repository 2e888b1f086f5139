"""Addresses of WebSockets."""

from django.urls import path

from ai_tasks.consumers import TaskSocket

websocket_urlpatterns = [path("ws/tasks/", TaskSocket.as_asgi())]
