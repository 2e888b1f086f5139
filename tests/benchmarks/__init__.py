"""What others would do, to be measured beside us."""
