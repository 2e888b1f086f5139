"""Addresses under /v1/, as OpenAI's clients ask for them."""

from django.urls import path, re_path

from ai_tasks.compat import batches, files, response_streams, responses, streams, views

app_name = "compat"

urlpatterns = [
    path("chat/completions", streams.chat_completions, name="chat-completions"),
    path("embeddings", streams.create_embeddings, name="embeddings"),
    path("responses", response_streams.responses, name="responses"),
    path("responses/<str:response_id>", response_streams.one_response, name="response"),
    path("responses/<str:response_id>/cancel", response_streams.cancel_response, name="cancel-response"),
    path("responses/<str:response_id>/input_items", responses.InputItems.as_view(), name="input-items"),
    path("files", files.Files.as_view(), name="files"),
    path("files/<str:file_id>", files.File.as_view(), name="file"),
    path("files/<str:file_id>/content", files.file_content, name="file-content"),
    path("batches", batches.Batches.as_view(), name="batches"),
    path("batches/<str:batch_id>", batches.OneBatch.as_view(), name="batch"),
    path("batches/<str:batch_id>/cancel", batches.CancelBatch.as_view(), name="cancel-batch"),
    path("models", views.Models.as_view(), name="models"),
    path("models/<path:model>", views.Model.as_view(), name="model"),
    re_path("", views.NotFound.as_view()),
]
