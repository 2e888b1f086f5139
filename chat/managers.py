"""The repository `ChatSession.objects`, and the messages beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import IntegrityError, models, transaction
from django.db.models import Avg, F, Max, Min, QuerySet
from django.db.models.functions import Greatest

from chat import usage
from chat.errors import SessionClosed, SessionExists
from chat.states import MessageRole, MessageState, SessionState, states_before
from chat.usage import Period, TokenUsage

if TYPE_CHECKING:
    from chat.models import ChatMessage, ChatSession

LONGEST_PAGE = 200
"""Messages that one page of history may have."""
OPEN = (SessionState.ACTIVE, SessionState.CLOSED)
"""States in which a session takes messages."""


class ChatSessionQuerySet(QuerySet["ChatSession"]):
    """Adjectives of sessions."""

    def alive(self) -> ChatSessionQuerySet:
        """Not deleted."""
        return self.exclude(state=SessionState.DELETED)

    def active(self) -> ChatSessionQuerySet:
        """In use."""
        return self.filter(state=SessionState.ACTIVE)

    def open(self) -> ChatSessionQuerySet:
        """Taking messages: active, or closed when idle."""
        return self.filter(state__in=OPEN)

    def archived(self) -> ChatSessionQuerySet:
        """Put away by their owner."""
        return self.filter(state=SessionState.ARCHIVED)

    def listed_as(self, state: str) -> ChatSessionQuerySet:
        """In that state; `open` is active or closed."""
        return self.open() if state == "open" else self.filter(state=state)

    def for_user(self, user: Any) -> ChatSessionQuerySet:
        """Of one user, not deleted."""
        return self.alive().filter(owner=user)

    def about(self, item_type: str, item_id: str) -> ChatSessionQuerySet:
        """About one item of the host's domain."""
        return self.filter(item_type=item_type, item_id=item_id)

    def idle_since(self, moment: datetime) -> ChatSessionQuerySet:
        """Without a message since then."""
        return self.filter(last_activity_at__lt=moment)

    def mentioning(self, words: str) -> ChatSessionQuerySet:
        """With these words in the title or in a message."""
        said = self.order_by().filter(messages__content__icontains=words).values("pk")
        titled = self.order_by().filter(title__icontains=words).values("pk")
        return self.filter(pk__in=said.union(titled))

    def newest_first(self) -> ChatSessionQuerySet:
        """By last activity."""
        return self.order_by("-last_activity_at", "-id")


class ChatSessionManager(models.Manager.from_queryset(ChatSessionQuerySet)):
    """The ChatSession repository."""

    def find_by_id(self, session_id: UUID) -> ChatSession | None:
        """Return the session, or None when there is none or it is deleted."""
        found: ChatSession | None = self.alive().filter(pk=session_id).first()
        return found

    @transaction.atomic
    def save(self, session: ChatSession) -> ChatSession:
        """
        Insert or update the session after full validation and return it.

        An update writes what its owner may edit: title, item, system prompt and model. State, numbering and activity
        are moved by the other verbs alone. Raises SessionExists for a second active session about one item.
        """
        session.full_clean(validate_constraints=False)
        try:
            with transaction.atomic():
                if session._state.adding:
                    session.save(force_insert=True)
                else:
                    session.save(update_fields=("title", "item_type", "item_id", "system_prompt", "model"))
        except IntegrityError as error:
            raise SessionExists("There is an active session about this item already.") from error
        return session

    def delete(self, session: ChatSession) -> bool:
        """Mark the session deleted; True when it was not so before. Its rows, and the ledger, stay."""
        return self.move(session, SessionState.DELETED)

    def move(self, session: ChatSession, to: SessionState) -> bool:
        """
        Move the session to that state; False when it is there already or the move is not allowed.

        Raises SessionExists when it would become the second active one about its item.
        """
        try:
            with transaction.atomic():
                moved = bool(self.filter(pk=session.pk, state__in=states_before(to)).update(state=to))
        except IntegrityError as error:
            raise SessionExists("There is an active session about this item already.") from error
        session.state = to if moved else self.values_list("state", flat=True).get(pk=session.pk)
        return moved

    def find_active_by_user(self, user: Any, *, limit: int | None = None) -> ChatSessionQuerySet:
        """Return the user's active sessions, last used first."""
        found: ChatSessionQuerySet = self.active().for_user(user).newest_first()
        return found if limit is None else found[:limit]

    def find_by_user_and_item(self, user: Any, item_type: str, item_id: str) -> ChatSession | None:
        """
        Return the session in which the user goes on about this item, or None.

        That is the active one (there is at most one), else the newest that was closed when idle.
        """
        found = self.for_user(user).about(item_type, item_id).open()
        newest: ChatSession | None = found.order_by("state", "-last_activity_at", "-id").first()
        return newest

    def find_inactive_sessions(
        self, now: datetime, idle_for: timedelta, *, limit: int | None = None
    ) -> ChatSessionQuerySet:
        """Return active sessions without a message for that long, longest idle first."""
        found: ChatSessionQuerySet = self.active().idle_since(now - idle_for).order_by("last_activity_at", "id")
        return found if limit is None else found[:limit]

    def add_message(
        self,
        session: ChatSession,
        role: MessageRole | str,
        content: str = "",
        *,
        now: datetime,
        state: MessageState = MessageState.DONE,
        after: ChatMessage | None = None,
        beside: ChatMessage | None = None,
        client_id: str = "",
        attachments: Sequence[dict[str, Any]] = (),
    ) -> ChatMessage:
        """
        Append a message and return it; a closed session is active again.

        It follows `after`, or is another version of `beside`, or else follows the newest message. Numbers have no
        gaps and no doubles under concurrent writers: the next one is taken by an UPDATE whose row lock is kept until
        the transaction ends. A `client_id` that the session has already returns the message that carries it.
        Raises SessionClosed when the session is archived or deleted.
        """
        values: dict[str, Any] = {
            "role": role,
            "content": content,
            "state": state,
            "client_id": client_id,
            "created_at": now,
        }
        values["attachments"] = [*attachments]
        try:
            with transaction.atomic():
                self._reopen(session, now)
                number = self._take_number(session, now)
                parent_id = self._parent_id(session, after, beside)
                return session.messages.create(number=number, parent_id=parent_id, **values)
        except IntegrityError:
            if client_id and (sent := session.messages.filter(client_id=client_id).first()):
                return sent
            raise

    def _take_number(self, session: ChatSession, now: datetime) -> int:
        row = self.open().filter(pk=session.pk)
        if not row.update(next_number=F("next_number") + 1, last_activity_at=Greatest(F("last_activity_at"), now)):
            raise SessionClosed("This conversation is archived or deleted and takes no messages.")
        session.refresh_from_db(fields=("next_number", "last_activity_at", "state"))
        return session.next_number - 1

    def _reopen(self, session: ChatSession, now: datetime) -> None:
        """Make a closed session active; one that took its item's place meanwhile is closed."""
        row = self.filter(pk=session.pk, state=SessionState.CLOSED)
        if not row.exists():
            return
        if session.item_type:
            rivals = self.active().for_user(session.owner_id).about(session.item_type, session.item_id)
            rivals.exclude(pk=session.pk).update(state=SessionState.CLOSED)
        row.update(state=SessionState.ACTIVE)

    def _parent_id(self, session: ChatSession, after: ChatMessage | None, beside: ChatMessage | None) -> UUID | None:
        if after is not None:
            return after.pk
        if beside is not None:
            return beside.parent_id
        newest: UUID | None = session.messages.order_by("-number").values_list("pk", flat=True).first()
        return newest

    def get_message_history(
        self, session: ChatSession, *, limit: int = 50, before: int | None = None
    ) -> QuerySet[ChatMessage]:
        """Return a page of at most 200 messages of all branches, newest first; with `before`, only smaller numbers."""
        found = session.messages.order_by("-number")
        if before is not None:
            found = found.filter(number__lt=before)
        return found[: max(1, min(limit, LONGEST_PAGE))]

    def count_messages(self, session: ChatSession) -> int:
        """Count the session's messages, all branches included."""
        return session.messages.count()

    def count_active_sessions(self, *, user: Any = None) -> int:
        """Count active sessions, of one user when given."""
        found = self.active() if user is None else self.active().for_user(user)
        return int(found.count())

    def calculate_average_session_length(self, *, user: Any = None) -> float | None:
        """Return the mean seconds from first to last message of sessions that have any; None when none has."""
        found = self.alive() if user is None else self.for_user(user)
        spans = found.filter(messages__isnull=False).order_by().values("pk")
        spans = spans.annotate(length=Max("messages__created_at") - Min("messages__created_at"))
        mean: timedelta | None = spans.aggregate(mean=Avg("length"))["mean"]
        return None if mean is None else mean.total_seconds()

    def get_token_usage_by_user(self, user: Any, period: Period | None = None) -> TokenUsage:
        """Return tokens and cost of all the user's replies, regenerated and stopped ones too, from the ledger."""
        return usage.of_user(user, period)


class ChatMessageQuerySet(QuerySet["ChatMessage"]):
    """Adjectives of messages."""

    def for_user(self, user: Any) -> ChatMessageQuerySet:
        """In sessions of one user that are not deleted."""
        return self.filter(session__owner=user).exclude(session__state=SessionState.DELETED)

    def replies(self) -> ChatMessageQuerySet:
        """Written by a task."""
        return self.filter(role=MessageRole.ASSISTANT)

    def pending(self) -> ChatMessageQuerySet:
        """Whose task has not ended, as far as the row knows."""
        return self.filter(state=MessageState.PENDING)

    def of_tasks(self, task_ids: Iterable[UUID]) -> ChatMessageQuerySet:
        """Written by these tasks."""
        return self.filter(task_id__in=task_ids)


class ChatAttachmentQuerySet(QuerySet[Any]):
    """Adjectives of attachments."""

    def unsent(self) -> ChatAttachmentQuerySet:
        """Uploaded, but in no message yet."""
        return self.filter(sent_at=None)

    def without_data(self) -> ChatAttachmentQuerySet:
        """With their bytes left in the database."""
        return self.defer("data")
