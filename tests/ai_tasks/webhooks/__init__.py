"""Webhooks, against a real HTTP server."""
