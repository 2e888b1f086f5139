"""Streams as wires deliver them: cut into any pieces, cut off, silent, endless."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from providers.errors import (
    ConnectTimeout,
    EmptyAnswer,
    FirstTokenTimeout,
    IdleTimeout,
    MalformedAnswer,
    StreamCut,
    Unavailable,
)
from providers.types import UsageSource
from tests.providers import servers
from tests.providers.calls import Call

SetUp = Callable[..., None]
ANSWER = "おはよう, Alice 🏃‍♀️\n"


def chunks() -> list[Any]:
    return list(servers.payload("openai_stream"))


def call_of(say: servers.Say | bytes, alice_ai: SetUp, **options: Any) -> Call:
    with servers.vendor(say) as vendor:
        alice_ai(vendor.url, **options)
        call = Call("alice-ai")
        call.error()
    return call


def self_signed(folder: Path) -> ssl.SSLContext:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bob")])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin + timedelta(days=36_500))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "certificate.pem"
    path.write_bytes(private + builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context


def test_a_stream_in_single_bytes(alice_ai: SetUp) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(servers.CHUNKED_HEAD)
        for byte in servers.events(chunks()):
            writer.write(servers.in_chunk(bytes([byte])))
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    assert call_of(say, alice_ai).result().text == ANSWER


def test_a_stream_in_the_style_of_openrouter(alice_ai: SetUp) -> None:
    said = b": OPENROUTER PROCESSING\n\n" * 3 + servers.events(chunks()).replace(b"\n", b"\r\n").replace(b": {", b":{")

    assert call_of(servers.STREAM_HEAD + said, alice_ai).result().text == ANSWER


def test_a_stream_that_ends_without_done_or_empty_line(alice_ai: SetUp) -> None:
    said = servers.events(chunks(), done=False).rstrip(b"\n")

    completion = call_of(servers.STREAM_HEAD + said, alice_ai).result()

    assert completion.text == ANSWER
    assert completion.usage.source == UsageSource.PROVIDER


def test_a_stream_with_done_and_no_reason_is_finished(alice_ai: SetUp) -> None:
    assert call_of(servers.STREAM_HEAD + servers.events(chunks()[:3]), alice_ai).result().text == ANSWER


def test_a_server_that_stays_after_the_last_word_does_not_hold_us_up(alice_ai: SetUp) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(servers.STREAM_HEAD + servers.events(chunks()))
        await asyncio.sleep(60)

    assert call_of(say, alice_ai).result().text == ANSWER


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_a_stream_that_ends_too_early_is_cut(alice_ai: SetUp, kept: int) -> None:
    said = servers.events(chunks()[:kept], done=False)

    call = call_of(servers.STREAM_HEAD + said, alice_ai)

    assert type(call.error()) is StreamCut
    assert call.error().partial == call.said()


def test_a_stream_that_ends_inside_a_chunk_is_cut(alice_ai: SetUp) -> None:
    said = servers.events(chunks()[:3], done=False)[:-20]

    call = call_of(servers.STREAM_HEAD + said, alice_ai)

    assert type(call.error()) is StreamCut
    assert call.error().partial == "おはよう"


def test_a_connection_that_breaks_off_is_a_cut(alice_ai: SetUp) -> None:
    said = servers.CHUNKED_HEAD + servers.in_chunk(servers.events(chunks()[:2], done=False))

    call = call_of(said, alice_ai)

    assert type(call.error()) is StreamCut
    assert call.error().usage.source == UsageSource.ESTIMATED
    assert call.error().usage.output_tokens > 0


def test_a_connection_that_breaks_off_after_the_reason_does_no_harm(alice_ai: SetUp) -> None:
    said = servers.CHUNKED_HEAD + servers.in_chunk(servers.events(chunks()[:4], done=False))

    assert call_of(said, alice_ai).result().text == ANSWER


def test_a_whole_answer_that_breaks_off_is_a_cut(alice_ai: SetUp) -> None:
    said = servers.response('{"choices": [{"message": {"content": "Good mor')[:-5]

    assert type(call_of(said, alice_ai).error()) is StreamCut


def test_nothing_at_all_is_empty(alice_ai: SetUp) -> None:
    assert type(call_of(servers.STREAM_HEAD, alice_ai).error()) is EmptyAnswer


def test_only_comments_are_empty(alice_ai: SetUp) -> None:
    assert type(call_of(servers.STREAM_HEAD + b": hello\n\n" * 5, alice_ai).error()) is EmptyAnswer


def test_an_endless_line_is_refused(alice_ai: SetUp) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(servers.STREAM_HEAD + b"data: ")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    assert type(call_of(say, alice_ai).error()) is MalformedAnswer


def test_an_endless_answer_is_refused(alice_ai: SetUp) -> None:
    flood = servers.events([{"choices": [{"index": 0, "delta": {"content": "x" * 50_000}}]}], done=False)

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(servers.STREAM_HEAD)
        while True:
            writer.write(flood)
            await writer.drain()

    assert type(call_of(say, alice_ai).error()) is MalformedAnswer


def test_an_endless_whole_answer_is_refused(alice_ai: SetUp) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{")
        while True:
            writer.write(b" " * 1_000_000)
            await writer.drain()

    assert type(call_of(say, alice_ai).error()) is MalformedAnswer


def test_what_is_not_http_is_malformed(alice_ai: SetUp) -> None:
    assert type(call_of(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", alice_ai).error()) is MalformedAnswer


def test_a_server_that_hangs_up_is_unavailable(alice_ai: SetUp) -> None:
    assert type(call_of(b"", alice_ai).error()) is Unavailable


def test_silence_before_the_head_is_a_first_token_timeout(alice_ai: SetUp) -> None:
    async def say(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    assert type(call_of(say, alice_ai, first_token_seconds=0.2).error()) is FirstTokenTimeout


def test_silence_that_only_comments_break_is_an_idle_timeout(alice_ai: SetUp) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(servers.STREAM_HEAD + servers.events(chunks()[:2], done=False))
        while True:
            writer.write(b": keep-alive\n\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    call = call_of(say, alice_ai, idle_seconds=0.2)

    assert type(call.error()) is IdleTimeout
    assert call.error().partial == "おはよう"


def test_a_timeout_closes_the_connection(alice_ai: SetUp) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(servers.STREAM_HEAD)
        while True:
            writer.write(b": keep-alive\n\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    with servers.vendor(say) as vendor:
        alice_ai(vendor.url, first_token_seconds=0.2)
        Call("alice-ai").error()

        assert vendor.closed.wait(60)


def test_a_cancel_closes_the_connection(alice_ai: SetUp) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(servers.STREAM_HEAD)
        while True:
            writer.write(servers.events(chunks()[1:2], done=False))
            await writer.drain()
            await asyncio.sleep(0.02)

    with servers.vendor(say) as vendor:
        alice_ai(vendor.url)
        call = Call("alice-ai")
        while not call.deltas:
            vendor.closed.wait(0.01)
        call.future.cancel()

        assert vendor.closed.wait(60)


def test_a_closed_port_is_unavailable(alice_ai: SetUp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    alice_ai(f"http://127.0.0.1:{port}/v1")

    call = Call("alice-ai")

    assert type(call.error()) is Unavailable
    assert call.bill().total == 0


def test_an_unknown_host_is_unavailable(alice_ai: SetUp) -> None:
    alice_ai("http://alice.invalid/v1")

    assert type(Call("alice-ai").error()) is Unavailable


def test_a_tls_handshake_that_nobody_answers_is_a_connect_timeout(alice_ai: SetUp) -> None:
    with servers.vendor(servers.response("{}")) as vendor:
        alice_ai(vendor.url.replace("http://", "https://"), connect_seconds=0.3)

        assert type(Call("alice-ai").error()) is ConnectTimeout


def test_a_certificate_that_nobody_vouches_for_is_unavailable(alice_ai: SetUp, tmp_path: Path) -> None:
    with servers.vendor(servers.response("{}"), tls=self_signed(tmp_path)) as vendor:
        alice_ai(vendor.url)

        error = Call("alice-ai").error()

    assert type(error) is Unavailable
    assert "SSLCertVerificationError" in str(error)


def test_no_connection_in_time_is_a_timeout_of_its_own(alice_ai: SetUp) -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        socket.socket() as first,
        socket.socket() as more,
    ):
        for blocker in (first, more):
            blocker.setblocking(False)
            blocker.connect_ex(listener.getsockname())
        alice_ai(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", connect_seconds=0.3)

        assert type(Call("alice-ai").error()) is ConnectTimeout
