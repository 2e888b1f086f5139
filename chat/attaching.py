"""Files in a conversation: put into it, sent with a message, forgotten."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Sum

from ai_tasks import clock
from ai_tasks.errors import InvalidInput, Mistake, NotPossible
from ai_tasks.models_on_offer import takes_pictures
from chat import attachments
from chat.errors import SessionClosed
from chat.managers import OPEN
from chat.models import ChatAttachment, ChatSession
from chat.states import AttachmentKind

MOST_IN_MESSAGE = 10
MOST_UNSENT = 30
"""Uploaded files of one session that are in no message yet."""
MOST_BYTES = 100_000_000
"""Of all files of one session."""
UNSENT_KEPT_FOR = timedelta(days=1)
BATCH = 500


@transaction.atomic
def attach(session: ChatSession, name: str, data: bytes, *, now: datetime | None = None) -> ChatAttachment:
    """Keep a file of the session, to be sent with a message; raises InvalidInput, NotPossible and SessionClosed."""
    found = attachments.sniffed(data)
    if not ChatSession.objects.select_for_update().filter(pk=session.pk, state__in=OPEN).exists():
        raise SessionClosed("This conversation is archived or deleted and takes no files.")
    _require_room(session, len(data))
    return ChatAttachment.objects.create(
        session=session,
        name=attachments.cleaned_name(name),
        kind=found.kind,
        media_type=found.media_type,
        size_bytes=len(data),
        data=data,
        created_at=now or clock.now(),
    )


def _require_room(session: ChatSession, size_bytes: int) -> None:
    if session.attachments.filter(sent_at=None).count() >= MOST_UNSENT:
        raise NotPossible(f"{MOST_UNSENT} files wait to be sent in this conversation; send or remove some first.")
    if (session.attachments.aggregate(all=Sum("size_bytes"))["all"] or 0) + size_bytes > MOST_BYTES:
        raise NotPossible(f"The files of this conversation may have {MOST_BYTES:,} bytes together; start another one.")


def detach(attachment: ChatAttachment) -> bool:
    """Forget a file that was not sent; False when it was."""
    return bool(ChatAttachment.objects.unsent().filter(pk=attachment.pk).delete()[0])


def take(session: ChatSession, ids: Iterable[UUID], *, model: str, now: datetime) -> list[dict[str, Any]]:
    """
    Mark the session's files of these ids as sent and return what a message keeps of them, in that order.

    Raises InvalidInput for files that are not there, for too many, and for pictures that the model cannot read. Call it
    in the transaction that writes the message.
    """
    wanted = list(dict.fromkeys(ids))
    if len(wanted) > MOST_IN_MESSAGE:
        raise _refused(f"has more than {MOST_IN_MESSAGE} files")
    ours = ChatAttachment.objects.filter(session=session)
    found = ours.select_for_update().without_data().in_bulk(wanted)
    if len(found) < len(wanted):
        raise _refused("names a file that is not in this conversation")
    files = [found[each] for each in wanted]
    if any(file.kind == AttachmentKind.IMAGE for file in files) and not takes_pictures(model):
        raise _refused(f"has a picture, and {model} reads text alone; choose another model")
    ours.unsent().filter(pk__in=wanted).update(sent_at=now)
    return [shape(file) for file in files]


def _refused(detail: str) -> InvalidInput:
    return InvalidInput(f"The message {detail}.", errors=(Mistake("/attachments", detail),))


def shape(file: ChatAttachment) -> dict[str, Any]:
    """Return what a message keeps of a file, and what is shown of it."""
    return {
        "id": str(file.pk),
        "name": file.name,
        "kind": str(file.kind),
        "media_type": file.media_type,
        "size_bytes": file.size_bytes,
    }


def forget_all(session: ChatSession) -> int:
    """Delete every file of a session; return how many."""
    return int(session.attachments.all().delete()[0])


def forget_unsent(now: datetime) -> int:
    """Delete files that were uploaded long ago and never sent, in a bounded batch; return how many."""
    old = ChatAttachment.objects.unsent().filter(created_at__lt=now - UNSENT_KEPT_FOR)
    ids = list(old.values_list("pk", flat=True)[:BATCH])
    return int(ChatAttachment.objects.unsent().filter(pk__in=ids).delete()[0])
