"""How many tokens a text is, when nobody says."""

from collections.abc import Iterable, Iterator

from providers.types import Message, Usage, UsageSource

BYTES, TOKENS = 14, 5
"""So many bytes are so many tokens (2.8 each): as measured, never too few for natural text in o200k and cl100k.

That includes Japanese, which the usual chars / 4 undercounts threefold.
"""
TOKENS_PER_MESSAGE = 4


def count(text: str) -> int:
    """Return the tokens of a text, rather too many than too few."""
    return -(-len(text.encode("utf-8", "replace")) * TOKENS // BYTES)


def estimate_input(messages: Iterable[Message]) -> int:
    """Return the tokens of a prompt, with what its frame costs."""
    return sum(count(message.content) + TOKENS_PER_MESSAGE for message in messages)


def prefix(text: str, tokens: int) -> str:
    """Return the longest beginning of the text that counts at most so many tokens; no character is cut."""
    return text.encode("utf-8", "replace")[: max(0, tokens) * BYTES // TOKENS].decode("utf-8", "ignore")


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """Yield (tokens so far, the characters that this token completes); a token that completes none is left out."""
    data, done = text.encode("utf-8", "replace"), 0
    for tokens in range(1, count(text) + 1):
        end = min(len(data), tokens * BYTES // TOKENS)
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        if end > done:
            yield tokens, data[done:end].decode("utf-8")
            done = end


def count_usage(messages: Iterable[Message], output: str, reasoning: str = "") -> Usage:
    """Return the usage of a call whose provider did not say: input estimated, output counted from what came."""
    return Usage(
        input_tokens=estimate_input(messages),
        output_tokens=count(output),
        reasoning_tokens=count(reasoning),
        source=UsageSource.COUNTED if output or reasoning else UsageSource.ESTIMATED,
    )
