"""Redrives: sending dead tasks back, many at a time."""
