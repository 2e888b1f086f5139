"""Any server that speaks OpenAI's chat completions, Responses or embeddings over HTTP."""

from typing import Any, ClassVar
from urllib.parse import urlsplit

from providers import tokens
from providers.adapters import openai_responses, openai_wire, reading
from providers.adapters.exchange import Answer, HttpAdapter, Post, same_length
from providers.keys import read_key
from providers.types import CompletionRequest, EmbeddingRequest, Embeddings, ProviderConfig, Usage, storable

NEWER_FIELD = "max_completion_tokens"
NEWER_HOSTS = ("api.openai.com", ".openai.azure.com")
"""https://platform.openai.com/docs/api-reference/chat/create: their reasoning models refuse `max_tokens`."""


class OpenAIAdapter(HttpAdapter):
    """Speaks chat completions, or with the option `responses` that format, with the server at `base_url`."""

    OPTIONS: ClassVar = {
        **HttpAdapter.OPTIONS,
        "max_tokens_field": str,
        "include_usage": bool,
        "responses": bool,
    }

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        is_newer = (urlsplit(config.base_url).hostname or "").endswith(NEWER_HOSTS)
        self.max_tokens_field = config.options.get("max_tokens_field") or (NEWER_FIELD if is_newer else "max_tokens")
        self._has_responses = config.options.get("responses", False)

    def _takes_responses(self, request: CompletionRequest) -> bool:
        """Is it sent in the Responses format, which has no stop sequences?"""
        return self._has_responses and not request.stop

    def post_for(self, request: CompletionRequest, key: str) -> Post:
        """Return what asks for this completion."""
        if self._takes_responses(request):
            return Post(f"{self.root}/responses", openai_responses.body_for(request), _authorized(key))
        body = openai_wire.body_for(
            request,
            max_tokens_field=self.max_tokens_field,
            include_usage=self.config.options.get("include_usage", True),
        )
        return Post(f"{self.root}/chat/completions", body, _authorized(key))

    def answer_for(self, request: CompletionRequest, key: str) -> Answer:
        """Return the reader of its answer."""
        kind = openai_responses.ResponsesAnswer if self._takes_responses(request) else openai_wire.ChatAnswer
        return kind(request, key)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Ask for vectors; https://platform.openai.com/docs/api-reference/embeddings."""
        key = read_key(self.config)
        body: dict[str, Any] = {
            "model": request.model,
            "input": [storable(text) for text in request.texts],
            "encoding_format": "float",
        }
        if request.dimensions:
            body["dimensions"] = request.dimensions
        payload, request_id = await self.ask(Post(f"{self.root}/embeddings", body, _authorized(key)), request, key)
        rows = sorted(reading.objects(payload, "data"), key=lambda row: reading.count(row, "index") or 0)
        vectors = same_length([reading.vector(row, "embedding") for row in rows], len(request.texts))
        return Embeddings(vectors, _usage(payload, request), request_id)


def _usage(payload: dict[str, Any], request: EmbeddingRequest) -> Usage:
    said = reading.count(reading.member(payload, "usage"), "prompt_tokens")
    return tokens.count_texts(request.texts) if said is None else Usage(input_tokens=said)


def _authorized(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}
