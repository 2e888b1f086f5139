"""
Answers that must be JSON of a caller's schema: read, and held to it.

The schema is a stranger's. It fetches nothing, its regular expressions are not run (a hostile one would stop the
process), and the work that it may cause is bounded.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from providers.errors import BadRequest, MalformedAnswer
from providers.types import AnswerFormat, storable

MOST_STEPS = 50_000
"""Keywords looked at in one check; `$ref` can make a small schema want more than there is time for."""
NOT_RUN = ("pattern", "patternProperties", "unevaluatedProperties")
"""They run a schema's regular expressions, as does additionalProperties beside patternProperties."""
LONGEST_UNIQUE_LIST = 1_000
"""The items of a longer list are not compared with each other: that takes the square of its length."""

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]

_steps_left: ContextVar[int] = ContextVar("steps_left")


class _TooMuch(Exception):
    """The schema wants more work than a check may take."""


def _counted(keyword: Keyword) -> Keyword:
    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _steps_left.set(_steps_left.get() - 1)
        if _steps_left.get() < 0:
            raise _TooMuch
        yield from keyword(validator, value, instance, schema) or ()

    return check


def _not_run(*_: Any) -> None:
    """Leave a keyword unchecked."""


def _additional(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if "patternProperties" not in schema:
        yield from Draft202012Validator.VALIDATORS["additionalProperties"](validator, value, instance, schema)


def _unique(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, list) or len(instance) <= LONGEST_UNIQUE_LIST:
        yield from Draft202012Validator.VALIDATORS["uniqueItems"](validator, value, instance, schema)


_OURS: dict[str, Keyword] = {"additionalProperties": _additional, "uniqueItems": _unique}
_KEYWORDS = Draft202012Validator.VALIDATORS | _OURS | dict.fromkeys(NOT_RUN, _not_run)
_Validator = extend(Draft202012Validator, {name: _counted(keyword) for name, keyword in _KEYWORDS.items()})


def check(text: str, wanted: AnswerFormat) -> None:
    """Hold an answer to its format; raises MalformedAnswer, and BadRequest where the schema itself cannot be used."""
    answer = _read(text)
    _steps_left.set(MOST_STEPS)
    try:
        validator = _Validator(_without_dialect(wanted.schema), registry=Registry())
        mistake = next(validator.iter_errors(answer), None)
    except (SchemaError, Unresolvable, _TooMuch, RecursionError, TypeError, ValueError, AttributeError) as error:
        raise BadRequest(f"The answer's schema cannot be used: {type(error).__name__.strip('_')}.") from None
    if mistake is not None:
        place = "/".join(str(part) for part in mistake.absolute_path)
        raise MalformedAnswer(storable(f"The answer is not of the schema, at /{place}: {mistake.message}")[:300])


def _without_dialect(schema: Any) -> Any:
    """Return a copy without `$schema`: at each one, jsonschema would change to a validator of its own."""
    if isinstance(schema, Mapping):
        kept = {key: value for key, value in schema.items() if key != "$schema" or not isinstance(value, str)}
        return {key: _without_dialect(value) for key, value in kept.items()}
    return [_without_dialect(item) for item in schema] if isinstance(schema, list) else schema


def complaint(schema: Mapping[str, Any]) -> str:
    """Return what is wrong with a schema, in a line; empty: nothing."""
    try:
        Draft202012Validator.check_schema(schema)
        resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver("")
        for place in _references(schema):
            resolver.lookup(place)
    except SchemaError as error:
        return storable(error.message)[:300]
    except Unresolvable as error:
        return f"There is no {storable(error.ref)[:200]!r} in it, and nothing is fetched from outside."
    except (RecursionError, ValueError, TypeError, AttributeError):
        return "It cannot be read."
    return ""


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        yield from (value for name in ("$ref", "$dynamicRef") if isinstance(value := schema.get(name), str))
        schema = list(schema.values())
    for inner in schema if isinstance(schema, list) else ():
        yield from _references(inner)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedAnswer("The answer is not JSON, as its format wants.") from None
