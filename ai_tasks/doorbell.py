"""Wakes the process's dispatcher. Ringing costs nothing and never blocks: request threads do it after their commit."""

import threading

GO_FIRST_SECONDS = 0.01
"""How long somebody who rang lets the one who was rung for go first."""


class Doorbell:
    """A set of providers with news, and a way to wait for it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._providers: set[str] = set()
        self._is_closed = False
        self._is_answering = False

    def ring(self, provider: str) -> None:
        """Tell that this provider's queue or capacity changed."""
        with self._condition:
            self._providers.add(provider)
            self._condition.notify_all()

    def wait(self, timeout_seconds: float) -> set[str]:
        """Return the providers that were rung for, as soon as there are any or the time is over."""
        with self._condition:
            self._is_answering = False
            self._condition.notify_all()
            if not self._providers and not self._is_closed:
                self._condition.wait(timeout_seconds)
            rung, self._providers = self._providers, set()
            self._is_answering = bool(rung)
            return rung

    def let_answer(self) -> None:
        """
        Wait until every ring is answered, for GO_FIRST_SECONDS at most.

        Two threads share one interpreter: side by side, both are ready when the second would be after the first.
        """
        with self._condition:
            self._condition.wait_for(lambda: not self._providers and not self._is_answering, GO_FIRST_SECONDS)

    def close(self) -> None:
        """Let whoever waits go on."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()


doorbell = Doorbell()


def ring(provider: str) -> None:
    """Ring the process's own bell."""
    doorbell.ring(provider)
