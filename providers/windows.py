"""How many tokens a model takes, input and output together, as far as that is published (genai-prices)."""

from functools import lru_cache

from genai_prices import data

from providers import matching

MAKERS = ("openai", "anthropic", "google", "mistral", "deepseek", "x-ai", "cohere")
"""Who is asked first: makers of models know their own best."""


@lru_cache(maxsize=1_000)
def window_tokens(model: str) -> int | None:
    """Return the window of the model of that name, also as `maker/name`; None: not published."""
    names = matching.spellings(model.rpartition("/")[2])
    lists = sorted(data.providers, key=lambda each: MAKERS.index(each.id) if each.id in MAKERS else len(MAKERS))
    for publisher in lists:
        for name in names:
            found = publisher.find_model(name)
            if found is not None and found.context_window:
                return int(found.context_window)
    return None
