"""What every adapter with embeddings must do."""

from dataclasses import replace
from typing import Any

from providers import gateway
from providers.errors import RateLimited, TotalTimeout
from providers.types import Candidate, EmbeddingRequest


class EmbeddingContract:
    """Run against a provider `self.provider` that has embeddings."""

    provider: str
    ASKED = EmbeddingRequest("", ("Good morning", "襷", "a\x00\ud800"), request_id="0197-alice.1")

    def embed(self, **changes: object) -> Any:
        """Ask for the vectors of three texts; returns them, or the error."""
        future = gateway.start_embedding(Candidate(self.provider, "sim-1"), replace(self.ASKED, **changes))
        return future.exception(10) or future.result()

    def test_each_text_gets_a_vector(self) -> None:
        found = self.embed()

        assert len(found.vectors) == 3
        assert {len(vector) for vector in found.vectors} == {64}
        assert len(set(found.vectors)) == 3

    def test_the_same_text_gets_the_same_vector(self) -> None:
        assert self.embed().vectors == self.embed().vectors

    def test_the_length_can_be_chosen(self) -> None:
        assert {len(vector) for vector in self.embed(dimensions=5).vectors} == {5}

    def test_what_was_used_is_told_or_estimated(self) -> None:
        assert self.embed().usage.total > 3

    def test_a_failure_is_named_and_used_nothing(self) -> None:
        error: Any = self.embed(options={"simulate": {"fail": "rate_limited"}})

        assert (type(error), error.usage.total) == (RateLimited, 0)

    def test_its_time_is_bounded(self) -> None:
        error: Any = self.embed(options={"simulate": {"latency_ms": 5000}}, total_timeout_seconds=0.2)

        assert isinstance(error, TotalTimeout)
        assert error.usage is not None
        assert error.usage.total > 0
