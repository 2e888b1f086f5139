"""A worker's consumer that takes no more than it can begin, and is back soon after the broker."""

from functools import partial
from typing import Any

from celery.worker import consumer

AGAIN_SECONDS = 2.0
"""Between two attempts to reach the broker, however long it has been away; Celery's own grow to 32 s."""


class Consumer(consumer.Consumer):
    """
    Celery's, with two bounds.

    RabbitMQ hands a queue's next message over when the one before has begun: what a full worker held would wait there
    while another is free. (On Redis, Celery's own worker_disable_prefetch does the same.)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.conninfo.transport.driver_type == "amqp":
            self.initial_prefetch_count = 1

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection when the broker answers."""
        bounds = {"interval_start": AGAIN_SECONDS, "interval_step": 0, "interval_max": AGAIN_SECONDS}
        conn.ensure_connection = partial(conn.ensure_connection, **bounds)
        return super().ensure_connected(conn)
