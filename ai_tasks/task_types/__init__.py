"""What kinds of work there are; each is declared in one place."""
