"""The aggregate AIGenerationTask and the walk: submit, admit, route, run, call, settle, publish, deliver."""
