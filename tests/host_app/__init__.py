"""A small application of somebody's own, which embeds the platform: docs/embedding.md goes through it."""
