"""Addresses of WebSockets."""

from django.urls import path

from chat.consumers import ChatSocket

websocket_urlpatterns = [path("ws/chat/<str:session_id>/", ChatSocket.as_asgi())]
