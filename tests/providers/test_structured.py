"""Answers that must be of a stranger's schema."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest

from providers import structured
from providers.errors import BadRequest, MalformedAnswer
from providers.types import AnswerFormat

SLOW = "(a+)+$"
"""A regular expression that takes for ever on the text below."""
TEXT = "a" * 40 + "!"


def check(answer: Any, schema: dict[str, Any]) -> None:
    structured.check(json.dumps(answer), AnswerFormat(schema))


@pytest.mark.parametrize(
    ("answer", "schema"),
    [
        ({"a": 1}, {"type": "object", "required": ["a"]}),
        ({"a": 1}, {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}),
        ({"a": {"a": {}}}, {"type": "object", "additionalProperties": {"$ref": "#"}}),
        ([1, 2], {"prefixItems": [{"type": "integer"}], "uniqueItems": True}),
        (None, {}),
    ],
)
def test_an_answer_that_fits_passes(answer: Any, schema: dict[str, Any]) -> None:
    check(answer, schema)


@pytest.mark.parametrize(
    ("answer", "schema"),
    [
        ({}, {"required": ["a"]}),
        ({"b": 1}, {"properties": {"a": {}}, "additionalProperties": False}),
        ([1, 1], {"uniqueItems": True}),
        ("a\x00\ud800", {"type": "integer"}),
        (5, {"anyOf": [{"type": "string"}, {"maximum": 4}]}),
    ],
)
def test_an_answer_that_does_not_fit_is_malformed(answer: Any, schema: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        check(answer, schema)

    assert "\x00" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "no", "{", "[" * 100_000, '{"a": 1} and more', "```json\n{}\n```"])
def test_what_is_not_json_is_malformed(text: str) -> None:
    with pytest.raises(MalformedAnswer):
        structured.check(text, AnswerFormat({}))


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": SLOW},
        {"patternProperties": {SLOW: {}}},
        {"patternProperties": {SLOW: {}}, "additionalProperties": False},
        {"patternProperties": {SLOW: {}}, "unevaluatedProperties": False},
        {"allOf": [{"$schema": "http://json-schema.org/draft-07/schema#", "pattern": SLOW}]},
        {"$ref": "#/const", "const": {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": SLOW}},
    ],
)
@pytest.mark.parametrize("answer", [TEXT, {TEXT: 1}])
def test_no_regular_expression_of_a_stranger_is_run(schema: dict[str, Any], answer: Any) -> None:
    began = time.monotonic()

    with suppress(MalformedAnswer):
        check(answer, schema)

    assert time.monotonic() - began < 2


def test_a_schema_that_wants_endless_work_is_given_up() -> None:
    doubled = {f"s{n}": {"allOf": [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(40)}

    with pytest.raises(BadRequest):
        check(1, {"$ref": "#/$defs/s0", "$defs": doubled | {"s40": {"type": "integer"}}})


def test_a_long_list_is_not_compared_with_itself() -> None:
    began = time.monotonic()

    check([{"a": n} for n in range(20_000)], {"uniqueItems": True})

    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "https://alice.example/schema.json"},
        {"$ref": "#/$defs/none"},
        {"type": 5},
        {"properties": []},
        {"allOf": {"a": 1}},
    ],
)
def test_a_schema_that_cannot_be_used_is_the_request_s_fault(schema: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        check({"a": 1}, schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 5},
        {"type": "objekt"},
        {"properties": []},
        {"required": "a"},
        {"$ref": "https://alice.example/schema.json"},
        {"properties": {"a": {"items": {"$ref": "other.json"}}}},
        {"$ref": "#/$defs/none"},
        {"pattern": "("},
    ],
)
def test_what_is_wrong_with_a_schema_is_said_beforehand(schema: dict[str, Any]) -> None:
    assert structured.complaint(schema)


def test_a_good_schema_is_not_complained_of() -> None:
    tree = {"$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "$ref": "#/$defs/tree"}

    assert structured.complaint(tree) == structured.complaint({}) == ""
