"""The wall: foreign AI services stop here; no vendor word, type or status crosses it."""
