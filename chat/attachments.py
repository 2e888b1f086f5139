"""What a file is, by its bytes, and how its text stands in a prompt."""

import re
from dataclasses import dataclass

from ai_tasks.errors import InvalidInput, Mistake
from chat.states import AttachmentKind

LARGEST_IMAGE_BYTES = 5_000_000
"""Anthropic takes 5 MB a picture; the others take more."""
LARGEST_TEXT_BYTES = 400_000
LONGEST_NAME = 200
HEAD_BYTES = 16

PLAIN = "text/plain"
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Nothing of these belongs into a name: it stands in pages, prompts and headers."""
NOT_IN_TEXT = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
BACKTICKS = re.compile("`+")


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What some bytes are."""

    kind: AttachmentKind
    media_type: str


def sniffed(data: bytes) -> Sniffed:
    """Return what the bytes are, whatever their sender calls them; raises InvalidInput for what no model is given."""
    if not data.strip():
        raise _refused("is empty")
    if media_type := _image_type(data[:HEAD_BYTES]):
        found, bound = Sniffed(AttachmentKind.IMAGE, media_type), LARGEST_IMAGE_BYTES
    elif _is_text(data):
        found, bound = Sniffed(AttachmentKind.TEXT, PLAIN), LARGEST_TEXT_BYTES
    else:
        raise _refused("is neither a PNG, JPEG, GIF or WebP picture nor a UTF-8 text")
    if len(data) > bound:
        raise _refused(f"is larger than {bound:,} bytes, the most for its kind ({found.kind.value})")
    return found


def _refused(detail: str) -> InvalidInput:
    return InvalidInput(f"The file {detail}.", errors=(Mistake("", detail),))


def _image_type(head: bytes) -> str:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if head.startswith(b"RIFF") and head[8:12] == b"WEBP" else ""


def _is_text(data: bytes) -> bool:
    try:
        return NOT_IN_TEXT.search(data.decode("utf-8-sig")) is None
    except UnicodeDecodeError:
        return False


def cleaned_name(name: str) -> str:
    """Return a file's name without folders, control characters and what turns the direction of writing."""
    last = re.split(r"[/\\]", CONTROLS.sub("", name))[-1].strip()
    return last[-LONGEST_NAME:] or "file"


def fenced(name: str, text: str) -> str:
    """Return a text file as it stands in a prompt: named, in a fence that nothing in it can close."""
    longest = max((len(run) for run in BACKTICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"Attached file {cleaned_name(name)}:\n{fence}\n{text}\n{fence}\n\n"
