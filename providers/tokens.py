"""How many tokens a text is, when nobody says."""

import json
from collections.abc import Iterable, Iterator, Sequence

from providers.types import AnswerFormat, Image, Message, Part, Tool, Usage, UsageSource

BYTES, TOKENS = 14, 5
"""So many bytes are so many tokens (2.8 each)."""
DENSE: tuple[tuple[bytes, int], ...] = (
    (b"0123456789", 27),
    (b'"{}[]()<>:;,=_-', 8),
    (bytes(range(0xC2, 0xE0)), 12),
    (bytes(range(0xE0, 0xF0)), 25),
    (bytes(range(0xF0, 0xF5)), 66),
)
"""First bytes of characters that are more than that, and by how much, in 42nds of a token.

A digit is a token, as Gemini has it; what holds code and JSON together comes near; a character of two bytes is one, of
three 5/3, of four 3. Measured with the tokenizers of OpenAI, Anthropic and Google (docs/decisions/0033): 2.8 bytes are
too many for a token in kanji, emoji and digits; the usual chars / 4 gives a third of what Japanese needs.
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
    """Return how many times 2.8 bytes a text is: what the simulator takes for its tokens."""
    return -(-len(text.encode("utf-8", "replace")) * TOKENS // BYTES)


def estimate(text: str) -> int:
    """Return the tokens of a text by any vendor's tokenizer, rather too many than too few; never below `count`."""
    data = text.encode("utf-8", "replace")
    extra = sum((len(data) - len(data.translate(None, first))) * parts for first, parts in DENSE)
    return -(-(len(data) * 15 + extra) // 42)


def estimate_input(
    messages: Iterable[Message], tools: Sequence[Tool] = (), answer_format: AnswerFormat | None = None
) -> int:
    """Return the tokens of a prompt, with its pictures, tools and form, and what their frame costs."""
    asked = sum(_message(message) for message in messages)
    if tools:
        asked += TOKENS_FOR_TOOLS + sum(_tool(tool) for tool in tools)
    if answer_format:
        asked += TOKENS_FOR_FORMAT + estimate(json.dumps(answer_format.schema, ensure_ascii=False))
    return asked


def _message(message: Message) -> int:
    calls = sum(estimate(call.name + call.arguments + call.id) + TOKENS_PER_TOOL for call in message.tool_calls)
    return TOKENS_PER_MESSAGE + calls + estimate(message.tool_call_id) + sum(_part(part) for part in message.parts)


def _part(part: Part) -> int:
    return TOKENS_PER_IMAGE if isinstance(part, Image) else estimate(part)


def _tool(tool: Tool) -> int:
    schema = json.dumps(tool.parameters, ensure_ascii=False)
    return TOKENS_PER_TOOL + estimate(tool.name + tool.description + schema)


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
        output_tokens=estimate(output),
        reasoning_tokens=estimate(reasoning),
        source=UsageSource.ESTIMATED,
    )


def count_texts(texts: Iterable[str]) -> Usage:
    """Return the usage of texts that were turned into vectors by a provider that did not say."""
    return Usage(input_tokens=sum(estimate(text) + 1 for text in texts), source=UsageSource.ESTIMATED)
