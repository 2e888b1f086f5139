"""What the queue refuses."""


class QueueFull(Exception):
    """The queue holds as many entries as its hard mark allows."""

    def __init__(self, *, depth: int, mark: int, retry_after_seconds: int) -> None:
        super().__init__(f"The queue holds {depth} entries, its limit is {mark}.")
        self.depth = depth
        self.mark = mark
        self.retry_after_seconds = retry_after_seconds


class AlreadyQueued(Exception):
    """The task has a live entry already."""
