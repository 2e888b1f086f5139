"""Server-sent events as they come over the wire; https://html.spec.whatwg.org/multipage/server-sent-events.html."""

from providers.errors import MalformedAnswer

LONGEST_EVENT_BYTES = 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class SseDecoder:
    """Turns parts of a stream, cut anywhere, into the data of its events; other fields and comments are left out."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._is_first_line = True
        self._after_carriage_return = False

    def feed(self, part: bytes) -> list[str]:
        """Return the data of the events that this part completes; raises MalformedAnswer when one is endless."""
        if self._after_carriage_return and part.startswith(b"\n"):
            part = part[1:]
            self._after_carriage_return = False
        found: list[str] = []
        for line in part.splitlines(keepends=True):
            self._line += line
            self._bound()
            if line.endswith((b"\n", b"\r")):
                found += self._end_line()
        if part:
            self._after_carriage_return = part.endswith(b"\r")
        return found

    def flush(self) -> list[str]:
        """Return the data of an event that the stream's end, not an empty line, completes: many servers do that."""
        return self._end_line() + self._end_event()

    def _bound(self) -> None:
        if len(self._line) + self._data_bytes > LONGEST_EVENT_BYTES:
            raise MalformedAnswer("One event of the stream is larger than any should be.")

    def _end_line(self) -> list[str]:
        line = bytes(self._line).rstrip(b"\r\n")
        self._line.clear()
        if self._is_first_line:
            line, self._is_first_line = line.removeprefix(BYTE_ORDER_MARK), False
        if not line:
            return self._end_event()
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
            self._data_bytes += len(value)
        return []

    def _end_event(self) -> list[str]:
        if not self._data:
            return []
        data = b"\n".join(self._data).decode("utf-8", "replace")
        self._data, self._data_bytes = [], 0
        return [data]
