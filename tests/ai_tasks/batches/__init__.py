"""Files and batches of /v1."""
