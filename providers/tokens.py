"""How many tokens a text is, when nobody says."""

import json
from collections.abc import Iterable, Iterator, Sequence

from providers.types import AnswerFormat, Image, Message, Part, Tool, Usage, UsageSource

BYTES, TOKENS = 14, 5
"""So many bytes are so many tokens (2.8 each): as measured, never too few for natural text in o200k and cl100k.

That includes Japanese, which the usual chars / 4 undercounts threefold.
"""
TOKENS_PER_MESSAGE = 4
TOKENS_PER_IMAGE = 5_000
"""The most that vendors count for one picture (docs/providers.md names the exceptions)."""
TOKENS_FOR_TOOLS = 600
"""What providers put before a prompt that has tools, once; Anthropic's published figures reach 530."""
TOKENS_PER_TOOL = 16
TOKENS_FOR_FORMAT = 300
"""The same for the form of an answer."""


def count(text: str) -> int:
    """Return the tokens of a text, rather too many than too few."""
    return -(-len(text.encode("utf-8", "replace")) * TOKENS // BYTES)


def estimate_input(
    messages: Iterable[Message], tools: Sequence[Tool] = (), answer_format: AnswerFormat | None = None
) -> int:
    """Return the tokens of a prompt, with its pictures, tools and form, and what their frame costs."""
    asked = sum(_message(message) for message in messages)
    if tools:
        asked += TOKENS_FOR_TOOLS + sum(_tool(tool) for tool in tools)
    if answer_format:
        asked += TOKENS_FOR_FORMAT + count(json.dumps(answer_format.schema, ensure_ascii=False))
    return asked


def _message(message: Message) -> int:
    calls = sum(count(call.name + call.arguments + call.id) + TOKENS_PER_TOOL for call in message.tool_calls)
    return TOKENS_PER_MESSAGE + calls + count(message.tool_call_id) + sum(_part(part) for part in message.parts)


def _part(part: Part) -> int:
    return TOKENS_PER_IMAGE if isinstance(part, Image) else count(part)


def _tool(tool: Tool) -> int:
    schema = json.dumps(tool.parameters, ensure_ascii=False)
    return TOKENS_PER_TOOL + count(tool.name + tool.description + schema)


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


def count_usage(
    messages: Iterable[Message],
    output: str,
    reasoning: str = "",
    *,
    tools: Sequence[Tool] = (),
    answer_format: AnswerFormat | None = None,
) -> Usage:
    """Return the usage of a call whose provider did not say: by the size of what was sent and what came."""
    return Usage(
        input_tokens=estimate_input(messages, tools, answer_format),
        output_tokens=count(output),
        reasoning_tokens=count(reasoning),
        source=UsageSource.ESTIMATED,
    )


def count_texts(texts: Iterable[str]) -> Usage:
    """Return the usage of texts that were turned into vectors by a provider that did not say."""
    return Usage(input_tokens=sum(count(text) + 1 for text in texts), source=UsageSource.ESTIMATED)
