"""Who is calling: API keys, WebSocket tickets, idempotency keys."""
