"""The WebSocket `/ws/chat/{session_id}/`."""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from typing import Any
from uuid import UUID

from ai_tasks.api.views import MAX_SEQ
from ai_tasks.delivery import TaskEvent, feed, follow, in_thread
from ai_tasks.errors import TaskError
from ai_tasks.models import AIGenerationTask
from ai_tasks.representation import tasks_json
from ai_tasks.sockets import FrameError, JsonSocket
from ai_tasks.states import ACTIVE
from chat import conversation, news, standing
from chat.frames import ReplyFrames, ending
from chat.models import ChatMessage, ChatSession
from chat.painting import Painter
from chat.representation import message_json, session_json
from chat.snapshots import snapshot
from chat.views import ID, find_own

NOT_FOUND = 4404
LISTENING, LOOKING = "listening", "looking"
LONGEST = {"client_id": 64, "model": 160}
LOOK_SECONDS = 5.0
"""How often to look for messages that no hint told of, and how far waiting replies have come."""

Frame = dict[str, Any]


class ChatSocket(JsonSocket):
    """
    One session, live. Every frame about a reply carries its `message_id`.

    It begins with `session.snapshot` and follows what is being written from its first piece;
    `resume{message_id, after}` follows from a later one. New messages are told as `message.created`, whichever tab,
    call or device made them. With `?html=1` it also tells how replies look while they are written.
    """

    scope_wanted = "chat"
    frames = {
        "message.send": "message_send",
        "message.edit": "message_edit",
        "reply.stop": "reply_stop",
        "reply.regenerate": "reply_regenerate",
        "resume": "resume",
    }

    session: ChatSession

    async def opened(self) -> None:
        """Send the snapshot and begin to listen."""
        session_id = str(self.scope["url_route"]["kwargs"]["session_id"])
        session = await in_thread(find_own, self.caller.user, session_id)
        if session is None:
            await self.say("error", code="not_found", detail="There is no such session.")
            await self.close(NOT_FOUND)
            return
        self.session = session
        self._paints = b"html=1" in self.scope["query_string"].split(b"&")
        self._telling = asyncio.Lock()
        self._waiting: dict[UUID, ReplyFrames] = {}
        self._newest = 0
        async with self._telling:
            self.begin(LISTENING, self._listen())
            await self._greet()
        self.begin(LOOKING, self._look())

    async def _greet(self) -> None:
        known = await in_thread(snapshot, self.session)
        await self.say("session.snapshot", **known)
        for message in known["messages"]:
            self._newest = max(self._newest, message["number"])
            self._follow(message)

    async def message_send(self, frame: Frame) -> None:
        """Send a message; a `client_id` that came before is answered again, and not sent twice."""
        _only(frame, "content", "client_id", "model", "parent_id", "attachments", "simulate")
        values: Frame = {"client_id": _text(frame, "client_id", ""), "model": _text(frame, "model", "")}
        values["attachments"] = _ids(frame, "attachments")
        simulate = frame.get("simulate")
        if simulate is not None and not isinstance(simulate, dict):
            raise FrameError("invalid_input", "simulate must be an object.")
        after = await self._message(frame, "parent_id") if frame.get("parent_id") is not None else None
        content = _text(frame, "content")
        session = await self._session()
        await self._make(frame, conversation.send_message, session, content, after=after, simulate=simulate, **values)

    async def message_edit(self, frame: Frame) -> None:
        """Write another version of a message beside it."""
        _only(frame, "message_id", "content", "client_id", "model")
        message = await self._message(frame, "message_id")
        values = {"client_id": _text(frame, "client_id", ""), "model": _text(frame, "model", "")}
        await self._make(frame, conversation.edit_message, message, _text(frame, "content"), **values)

    async def reply_regenerate(self, frame: Frame) -> None:
        """Ask again for a reply; the new version stands beside it."""
        _only(frame, "message_id", "model")
        reply = await self._message(frame, "message_id")
        await self._make(frame, conversation.regenerate, reply, model=_text(frame, "model", ""))

    async def reply_stop(self, frame: Frame) -> None:
        """Stop a reply; whoever follows it is told when it has stopped."""
        _only(frame, "message_id")
        reply = await self._message(frame, "message_id")
        await in_thread(conversation.stop_reply, reply)

    async def resume(self, frame: Frame) -> None:
        """Follow a reply from the piece after `after`."""
        _only(frame, "message_id", "after")
        reply = await self._message(frame, "message_id")
        if reply.task_id is None:
            raise FrameError("invalid_input", "Only a reply can be followed.")
        after = frame.get("after", 0)
        if isinstance(after, bool) or not isinstance(after, int) or not 0 <= after <= MAX_SEQ:
            raise FrameError("invalid_input", "after must be a seq.")
        self.begin(str(reply.pk), self._tell_reply(reply.pk, reply.task_id, after))

    async def _make(self, frame: Frame, wish: Any, *arguments: Any, **options: Any) -> None:
        """Grant a wish that makes messages, and tell of them; an error names the `client_id` that it is about."""
        # Before the wish: what it makes may be told by the session's own group before it returns.
        known = self._newest
        try:
            made = await in_thread(wish, *arguments, api_key_id=self.caller.key_id, **options)
        except TaskError as error:
            about = {name: frame[name] for name in ("client_id", "message_id") if name in frame}
            await self.say("error", code=error.code, detail=error.detail, **about)
            return
        messages: list[ChatMessage] = [*made] if isinstance(made, tuple) else [made]
        await self._tell_new()
        for message in messages:
            if message.number <= known:
                await self.say("message.created", message=await in_thread(message_json, message))

    async def _session(self) -> ChatSession:
        """Return the session as it is now: its model may have been changed since the socket was opened."""
        session = await in_thread(find_own, self.caller.user, str(self.session.pk))
        if session is None:
            raise FrameError("not_found", "This session is gone.")
        return session

    async def _message(self, frame: Frame, member: str) -> ChatMessage:
        message_id = _text(frame, member)
        found = await in_thread(_find_message, self.session, message_id) if ID.fullmatch(message_id) else None
        if found is None:
            raise FrameError("not_found", "There is no such message in this session.")
        return found

    async def _listen(self) -> None:
        async with aclosing(feed(news.group_of(self.session))) as told:  # type: ignore[type-var]
            async for event in told:
                if event.get("name") == news.MESSAGES:
                    await self._tell_new()
                elif event.get("name") == news.SESSION:
                    await self._tell_session()
                elif event.get("status") in ACTIVE:
                    await self._tell_revived(str(event.get("task_id")))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            stand = await standing.look(self.session.pk)
            if stand is None or stand.own != _own(self.session):
                await self._tell_session()
            if stand is not None and stand.newest > self._newest:
                await self._tell_new()
            await self._tell_places()

    async def _tell_session(self) -> None:
        """Tell what has become of the session itself."""
        session = await in_thread(find_own, self.caller.user, str(self.session.pk))
        if session is None:
            await self.say("error", code="not_found", detail="This session is gone.")
            await self.close(NOT_FOUND)
        elif _own(session) != _own(self.session):
            self.session = session
            await self.say("session.updated", session=await in_thread(session_json, session))

    async def _tell_places(self) -> None:
        """Tell of waiting replies whose place in line has changed: nothing of their own has."""
        waiting = {task_id: frames for task_id, frames in self._waiting.items() if frames.is_queued}
        for task in await in_thread(_tasks, list(waiting)) if waiting else []:
            frames = waiting[UUID(task["id"])]
            if frames.is_queued:
                await self._tell(frames.of(TaskEvent("task.updated", task)))

    async def _tell(self, told: Iterable[tuple[str, Frame]]) -> None:
        for kind, members in told:
            await self.say(kind, **members)

    async def _tell_new(self) -> None:
        async with self._telling:
            for message in await in_thread(_messages_after, self.session, self._newest):
                self._newest = max(self._newest, message["number"])
                await self.say("message.created", message=message)
                self._follow(message)

    async def _tell_revived(self, task_id: str) -> None:
        """Follow a reply whose task somebody sent back: this socket saw it end, or never saw it."""
        message = await in_thread(_message_of, self.session, task_id)
        if message is not None and message["number"] <= self._newest and message["id"] not in self.jobs:
            self._follow(message)

    def _follow(self, message: Frame) -> None:
        if message["state"] == "pending" and message["task_id"]:
            place = UUID(message["id"])
            self.begin(message["id"], self._tell_reply(place, UUID(message["task_id"]), 0))

    async def _tell_reply(self, message_id: UUID, task_id: UUID, after: int) -> None:
        frames = self._waiting[task_id] = ReplyFrames(message_id)
        painter = Painter(self.say) if self._paints else None
        painting = asyncio.create_task(painter.run()) if painter else None
        try:
            # A picture needs the text from its beginning.
            async with aclosing(follow(task_id, 0 if painter else after)) as told:  # type: ignore[type-var]
                async for event in told:
                    for kind, members in frames.of(event):
                        if painter:
                            painter.see(kind, members)
                        if members.get("seq", MAX_SEQ) > after:
                            await self.say(kind, **members)
        finally:
            if self._waiting.get(task_id) is frames:
                del self._waiting[task_id]
            if painting:
                painting.cancel()
                await asyncio.gather(painting, return_exceptions=True)
        if end := await in_thread(ending, message_id):
            await self.say(end[0], **end[1])


def _own(session: ChatSession) -> tuple[str, ...]:
    """Return what its owner may change."""
    return session.title, session.state, session.model, session.system_prompt


def _find_message(session: ChatSession, message_id: str) -> ChatMessage | None:
    messages = session.messages.select_related("session__owner", "parent")
    return messages.filter(pk=message_id).first()


def _tasks(task_ids: list[UUID]) -> list[Frame]:
    return tasks_json(AIGenerationTask.objects.filter(pk__in=task_ids))


def _messages_after(session: ChatSession, number: int) -> list[Frame]:
    return [message_json(row) for row in session.messages.filter(number__gt=number).order_by("number")]


def _message_of(session: ChatSession, task_id: str) -> Frame | None:
    """Return the reply that this task is writing now, or None."""
    reply = session.messages.filter(task_id=task_id).first()
    if reply is None or not conversation.is_being_written(reply):
        return None
    return message_json(reply)


def _only(frame: Frame, *known: str) -> None:
    if unknown := sorted(set(frame) - {"type", *known}):
        raise FrameError("invalid_input", f"Unknown members: {', '.join(unknown)[:200]}.")


def _text(frame: Frame, member: str, default: str | None = None) -> str:
    value = frame.get(member, default)
    if not isinstance(value, str):
        raise FrameError("invalid_input", f"{member} must be a string.")
    if len(value) > LONGEST.get(member, len(value)):
        raise FrameError("invalid_input", f"{member} is too long.")
    return value


def _ids(frame: Frame, member: str) -> list[UUID]:
    value = frame.get(member, [])
    if not isinstance(value, list) or not all(isinstance(each, str) and ID.fullmatch(each) for each in value):
        raise FrameError("invalid_input", f"{member} must be a list of ids.")
    return [UUID(each) for each in value]
