"""Attempts and money: what was tried, what it used, what was held for it and what it cost."""
