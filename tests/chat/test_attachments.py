"""Files in a conversation: uploaded, sniffed, sent, given to the model, served, deleted."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks.errors import InvalidInput, NotPossible
from ai_tasks.models import AIGenerationTask
from chat import attaching, attachments, conversation, replies
from chat.models import ChatAttachment, ChatMessage, ChatSession
from providers.types import Image
from queueing.models import QueueEntry

pytestmark = pytest.mark.django_db

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
HEADS = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0" + b"\0" * 20,
    "image/gif": b"GIF89a" + b"\0" * 20,
    "image/webp": b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 20,
}
Upload = Callable[..., Any]


@pytest.fixture
def upload(call: Callable[..., Any], client: Client, session: ChatSession) -> Upload:
    """Return a function that uploads bytes with alice's key."""

    def send(data: bytes, name: str = "notes.txt", content_type: str = "application/octet-stream") -> Any:
        return call("post", f"/sessions/{session.pk}/attachments?name={name}", data, **{"Content-Type": content_type})

    return send


def prompt_of(reply: ChatMessage) -> Any:
    return replies.build(AIGenerationTask.objects.get(pk=reply.task_id)).messages


def test_a_text_is_uploaded_sent_and_fenced_into_the_prompt(session: ChatSession) -> None:
    file = attaching.attach(session, "notes.md", "\ufeffa\n````\nb".encode())

    message, reply = conversation.send_message(session, "Sum it up", attachments=[file.pk])

    assert message.attachments == [attaching.shape(file)]
    assert prompt_of(reply)[-1].text == "Attached file notes.md:\n`````\na\n````\nb\n`````\n\nSum it up"


def test_a_picture_is_given_to_the_model(session: ChatSession) -> None:
    file = attaching.attach(session, "photo.png", PNG)

    _, reply = conversation.send_message(session, "What is it?", attachments=[file.pk])

    [picture, words] = prompt_of(reply)[-1].parts
    assert isinstance(picture, Image)
    assert (picture.media_type, words) == ("image/png", "What is it?")


def test_a_file_counts_in_the_estimate(session: ChatSession) -> None:
    file = attaching.attach(session, "long.txt", b"word " * 4000)

    _, plain = conversation.send_message(session, "Hello")
    _, reply = conversation.send_message(session, "Hello", attachments=[file.pk])

    estimates = dict(QueueEntry.objects.values_list("task_id", "estimate_input_tokens"))
    assert estimates[reply.task_id] > estimates[plain.task_id] + 4000


def test_a_message_may_be_a_file_alone_and_names_the_chat(session: ChatSession) -> None:
    file = attaching.attach(session, "photo.png", PNG)

    _, reply = conversation.send_message(session, "", attachments=[file.pk])

    session.refresh_from_db()
    assert session.title == "photo.png"
    assert len(prompt_of(reply)[-1].parts) == 1


def test_an_edited_message_keeps_its_files(session: ChatSession) -> None:
    file = attaching.attach(session, "photo.png", PNG)
    message, _ = conversation.send_message(session, "What is it?", attachments=[file.pk])

    edited, _ = conversation.edit_message(message, "Who is it?")

    assert edited.attachments == message.attachments


def test_a_model_that_reads_text_alone_gets_no_picture(session: ChatSession) -> None:
    file = attaching.attach(session, "photo.png", PNG)

    with pytest.raises(InvalidInput, match="choose another model") as refused:
        conversation.send_message(session, "See?", attachments=[file.pk], model="simulator/deepseek-chat")

    assert refused.value.errors[0].pointer == "/attachments"
    assert not session.messages.exists()
    assert ChatAttachment.objects.unsent().count() == 1


def test_such_a_model_is_told_that_there_was_one(session: ChatSession) -> None:
    file = attaching.attach(session, "photo.png", PNG)
    conversation.send_message(session, "See?", attachments=[file.pk])

    _, reply = conversation.send_message(session, "And now?", model="simulator/deepseek-chat")

    assert prompt_of(reply)[0].text == "[image photo.png: not shown here]\n\nSee?"


def test_of_many_pictures_the_newest_are_given(session: ChatSession, settings: Any) -> None:
    settings.AI_CHAT_CONTEXT_TOKENS = 100_000
    files = [attaching.attach(session, f"{number}.png", PNG) for number in range(12)]
    conversation.send_message(session, "One", attachments=[file.pk for file in files[:6]])

    _, reply = conversation.send_message(
        session, "Two", attachments=[file.pk for file in files[6:]], model="simulator/gpt-4o"
    )

    parts = [part for message in prompt_of(reply) for part in message.parts]
    assert sum(isinstance(part, Image) for part in parts) == replies.MOST_PICTURES


@pytest.mark.parametrize("media_type", HEADS)
def test_pictures_are_known_by_their_bytes(upload: Upload, media_type: str) -> None:
    answer = upload(HEADS[media_type], "x.txt", "text/html")

    assert answer.status_code == 201
    assert (answer.json()["kind"], answer.json()["media_type"]) == ("image", media_type)


@pytest.mark.parametrize(
    "data",
    [b"", b" \n", b"\0\1\2", b"%PDF-1.7\n\xff\xfe", b"MZ\x90\0", b"\xff\xfea\0", b"PK\x03\x04", b"a\0b", b"\x1b\x00"],
)
def test_what_is_neither_picture_nor_text_is_refused(upload: Upload, data: bytes) -> None:
    answer = upload(data)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert not ChatAttachment.objects.exists()


def test_too_large_is_refused(upload: Upload) -> None:
    assert upload(b"a" * (attachments.LARGEST_TEXT_BYTES + 1)).status_code == 422
    assert upload(PNG + b"\0" * attachments.LARGEST_IMAGE_BYTES).status_code == 413


def test_too_many_are_refused(session: ChatSession) -> None:
    files = [attaching.attach(session, "a.txt", b"a") for _ in range(attaching.MOST_UNSENT)]

    with pytest.raises(NotPossible, match="send or remove"):
        attaching.attach(session, "a.txt", b"a")
    with pytest.raises(InvalidInput, match="more than"):
        conversation.send_message(session, "x", attachments=[file.pk for file in files[:11]])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("C:\\x\\y.txt", "y.txt"),
        ("\r\n", "file"),
        ("", "file"),
    ],
)
def test_a_name_is_cleaned(given: str, kept: str) -> None:
    assert attachments.cleaned_name(given) == kept


def test_a_file_is_served_so_that_nothing_in_it_runs(upload: Upload, call: Any, session: ChatSession) -> None:
    html = b"<script>alert(1)</script>"
    file_id = upload(html, "evil.html", "text/html").json()["id"]

    answer = call("get", f"/sessions/{session.pk}/attachments/{file_id}")

    assert answer.content == html
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="evil.html"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer["Cache-Control"].startswith("private")


def test_someone_elses_file_is_not_found(call: Any, session: ChatSession, bob: User) -> None:
    theirs = conversation.start_session(bob)
    file = attaching.attach(theirs, "secret.txt", b"secret")

    for path in (f"/sessions/{theirs.pk}", f"/sessions/{session.pk}"):
        assert call("get", f"{path}/attachments/{file.pk}").status_code == 404
        assert call("delete", f"{path}/attachments/{file.pk}").status_code == 404
    assert call("post", f"/sessions/{theirs.pk}/attachments", b"x").status_code == 404
    with pytest.raises(InvalidInput, match="not in this conversation"):
        conversation.send_message(session, "x", attachments=[file.pk])
    assert ChatAttachment.objects.get() == file


def test_it_is_sent_and_listed_by_rest(upload: Upload, call: Any, session: ChatSession) -> None:
    file = upload(b"hello").json()
    path = f"/sessions/{session.pk}/messages"

    sent = call("post", path, {"content": "", "attachments": [file["id"]]})

    assert sent.status_code == 202
    assert sent.json()["message"]["attachments"] == [file]
    assert call("get", path).json()["data"][1]["attachments"] == [file]
    assert call("delete", f"/sessions/{session.pk}/attachments/{file['id']}").status_code == 409
    assert call("post", path, {"content": "", "attachments": [str(uuid4())]}).status_code == 422
    assert call("post", path, {"content": ""}).status_code == 422


def test_an_unsent_file_can_be_removed_and_is_forgotten_after_a_day(session: ChatSession, now: datetime) -> None:
    removed, old, sent = (attaching.attach(session, f"{name}.txt", b"x", now=now) for name in "abc")
    conversation.send_message(session, "x", attachments=[sent.pk])

    assert attaching.detach(removed)
    assert attaching.forget_unsent(now + timedelta(hours=25)) == 1

    assert [*ChatAttachment.objects.all()] == [sent]
    assert not ChatAttachment.objects.filter(pk=old.pk).exists()


def test_files_go_with_their_session(session: ChatSession) -> None:
    attaching.attach(session, "a.txt", b"a")

    conversation.delete(session)

    assert not ChatAttachment.objects.exists()
    with pytest.raises(NotPossible):
        attaching.attach(session, "a.txt", b"a")
