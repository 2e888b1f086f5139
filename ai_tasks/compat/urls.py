"""Addresses under /v1/, as OpenAI's clients ask for them."""

from django.urls import path, re_path

from ai_tasks.compat import response_streams, responses, streams, views

app_name = "compat"

urlpatterns = [
    path("chat/completions", streams.chat_completions, name="chat-completions"),
    path("embeddings", streams.create_embeddings, name="embeddings"),
    path("responses", response_streams.responses, name="responses"),
    path("responses/<str:response_id>", response_streams.one_response, name="response"),
    path("responses/<str:response_id>/cancel", response_streams.cancel_response, name="cancel-response"),
    path("responses/<str:response_id>/input_items", responses.InputItems.as_view(), name="input-items"),
    path("models", views.Models.as_view(), name="models"),
    path("models/<path:model>", views.Model.as_view(), name="model"),
    re_path("", views.NotFound.as_view()),
]
