"""What operators do: a page for each wish that says what it would do, and does it once."""
