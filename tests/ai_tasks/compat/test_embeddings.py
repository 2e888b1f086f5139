"""What the body of POST /v1/embeddings asks of a task, and its answer."""

from typing import Any

import pytest

from ai_tasks.compat import embeddings
from ai_tasks.errors import InvalidInput
from ai_tasks.task_types.embedding import packed, unpacked


def wish(**members: Any) -> Any:
    return embeddings.wish_of(embeddings.checked({"model": "m", "input": "a"} | members))


def test_one_text_and_several() -> None:
    assert wish(dimensions=8, user="alice", encoding_format="base64") == {
        "type": "embedding.create",
        "input": {"texts": ["a"], "dimensions": 8},
        "model": "m",
    }
    assert wish(input=["a", "b"])["input"] == {"texts": ["a", "b"]}


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"input": []}, "/input/input"),
        ({"input": ""}, "/input/input"),
        ({"input": [1, 2]}, "/input/input"),
        ({"input": [[1, 2]]}, "/input/input"),
        ({"input": {"a": 1}}, "/input/input"),
        ({"encoding_format": "hex"}, "/encoding_format"),
        ({"voice": "alto"}, "/voice"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(members: Any, pointer: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        wish(**members)

    assert refused.value.errors[0].pointer == pointer


def test_a_vector_is_packed_and_unpacked_without_loss_of_what_32_bits_hold() -> None:
    vector = [0.5, -1.25, 3.0]

    assert unpacked(packed(vector)) == vector
    task = {"provider": "p", "model": "m", "usage": None, "output": {"embeddings": [packed(vector)]}}
    assert embeddings.answer(task, "float")["data"] == [{"object": "embedding", "index": 0, "embedding": vector}]
    assert embeddings.answer(task, "base64")["data"][0]["embedding"] == packed(vector)
