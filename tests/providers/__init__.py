"""Tests of the wall to foreign AI services."""
