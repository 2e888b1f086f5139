"""The HTTP API: JSON in, JSON or problem documents out."""
