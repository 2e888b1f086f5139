"""What operators see: one file per page, read-only."""
