"""Addresses under /v1/, as OpenAI's clients ask for them."""

from django.urls import path, re_path

from ai_tasks.compat import streams, views

app_name = "compat"

urlpatterns = [
    path("chat/completions", streams.chat_completions, name="chat-completions"),
    path("embeddings", streams.create_embeddings, name="embeddings"),
    path("models", views.Models.as_view(), name="models"),
    path("models/<path:model>", views.Model.as_view(), name="model"),
    re_path("", views.NotFound.as_view()),
]
