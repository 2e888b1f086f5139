"""Which models take no pictures, as far as their makers say so; of the others a provider says so itself."""

import re

TEXT_ONLY = re.compile(
    # OpenAI and Anthropic say so in their lists of models; the others in their model cards.
    r"(gpt-3\.5|gpt-4(-0314|-0613|-32k|$)|o1-(mini|preview)|o3-mini|text-|davinci|babbage"
    r"|claude-(2|instant)"
    r"|deepseek-(chat|reasoner|coder|r1|v3)|codestral|command-(r|light)|mixtral|mistral-(7b|tiny|nemo)"
    r"|llama-?(2|3(\.[13])?)(:|-|$)|phi-?3(:|$)|qwen2\.5(-coder)?(:|-\d|$)|codellama|gemma(2|-2)?(:|-\d|$))"
)
"""Beginnings of names, without the maker's."""


def takes_pictures(model: str) -> bool:
    """Return False when the model of that name, also as `maker/name`, is known to read text alone."""
    return TEXT_ONLY.match(model.rpartition("/")[2].lower()) is None
