"""What operators did, and what they must know: rows that the console writes and reads."""
