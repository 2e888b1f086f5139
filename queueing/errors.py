"""What the queue refuses."""


class QueueFull(Exception):
    """A mark is reached: of the queue, of one user in it, or of all queues together."""

    def __init__(self, *, depth: int, mark: int, retry_after_seconds: int, scope: str = "queue", fits: int = 0) -> None:
        whose = {"queue": "The queue holds", "user": "You have", "total": "All queues together hold"}[scope]
        super().__init__(f"{whose} {depth} entries, the limit is {mark}. Try again in {retry_after_seconds} seconds.")
        self.depth = depth
        self.mark = mark
        self.retry_after_seconds = retry_after_seconds
        self.scope = scope
        self.fits = fits
        """How many of those that came together there would have been room for."""


class AlreadyQueued(Exception):
    """The task has a live entry already."""


class BadFilter(ValueError):
    """Dead letters cannot be chosen by this."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name[:100]}: {detail}")
        self.name = name
        self.detail = detail
