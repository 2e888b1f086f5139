"""The bytes of files: written in blocks, read by line or by place, never whole."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import F

from ai_tasks.batches.models import FileBlock, StoredFile

BLOCK_BYTES = 256 * 1024
"""Of what is uploaded; what batches write comes in blocks as it comes."""


class Line(NamedTuple):
    """A line of a file without its end."""

    offset: int
    data: bytes | None
    """None: it is longer than allowed, and the last that is looked at."""
    following: int
    """Where the next one begins."""


@transaction.atomic
def append(file: StoredFile, data: bytes) -> None:
    """Write the bytes behind what the file has; raises IntegrityError where somebody else wrote there first."""
    if data:
        FileBlock.objects.create(file=file, offset=file.size_bytes, data=data)
        StoredFile.objects.filter(pk=file.pk).update(size_bytes=F("size_bytes") + len(data))
        file.size_bytes += len(data)


def store(file: StoredFile, chunks: Iterable[bytes]) -> str:
    """Write the chunks of an upload, each block in a transaction of its own; return their SHA-256 in hex."""
    digest, rest = sha256(), bytearray()
    for chunk in chunks:
        digest.update(chunk)
        rest += chunk
        while len(rest) >= BLOCK_BYTES:
            append(file, bytes(rest[:BLOCK_BYTES]))
            del rest[:BLOCK_BYTES]
    append(file, bytes(rest))
    return digest.hexdigest()


def block_at(file_id: UUID, offset: int) -> tuple[int, bytes]:
    """Return the block that has this byte and where it begins; behind the end: no bytes."""
    blocks = FileBlock.objects.filter(file=file_id, offset__lte=offset).order_by("-offset")
    found = blocks.values_list("offset", "data").first()
    if found is None or found[0] + len(found[1]) <= offset:
        return offset, b""
    return found[0], bytes(found[1])


def blocks(file_id: UUID, offset: int = 0) -> Iterator[bytes]:
    """Yield the file's bytes from there on, a block at a time."""
    while True:
        start, data = block_at(file_id, offset)
        if not data:
            return
        yield data[offset - start :]
        offset = start + len(data)


def lines(file_id: UUID, offset: int, *, longest: int) -> Iterator[Line]:
    """Yield the lines from there on, without `\\n` and `\\r\\n`; nothing comes after one that is too long."""
    rest = b""
    for block in blocks(file_id, offset):
        *whole, rest = (rest + block).split(b"\n")
        for data in whole:
            if len(data) > longest:
                break
            yield Line(offset, data.removesuffix(b"\r"), offset + len(data) + 1)
            offset += len(data) + 1
        if max(map(len, (*whole, rest))) > longest:
            yield Line(offset, None, offset)
            return
    if rest:
        yield Line(offset, rest.removesuffix(b"\r"), offset + len(rest))


class Reader:
    """Reads places of one file; those that stand together cost one query a block."""

    def __init__(self, file_id: UUID) -> None:
        self._file_id = file_id
        self._start = 0
        self._block = b""

    def read(self, offset: int, size: int) -> bytes:
        """Return that many bytes from there on; fewer at the end of the file."""
        found = b""
        while len(found) < size and (piece := self._piece(offset + len(found), size - len(found))):
            found += piece
        return found

    def _piece(self, offset: int, most: int) -> bytes:
        if not self._start <= offset < self._start + len(self._block):
            self._start, self._block = block_at(self._file_id, offset)
        first = offset - self._start
        return self._block[first : first + most]
