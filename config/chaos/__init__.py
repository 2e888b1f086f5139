"""Chaos: faults by a seeded schedule on a whole installation, and what must hold through them (see docs/chaos.md)."""
