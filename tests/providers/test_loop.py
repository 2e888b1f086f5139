"""The process's one loop."""

import os
import threading

from pytest_django import Settings

from providers import gateway
from providers.errors import ModelNotFound
from providers.loop import THREAD_NAME
from providers.types import Candidate, CompletionRequest, Delta, Message
from tests.providers import servers
from tests.providers.calls import Call


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


def test_all_calls_share_one_thread() -> None:
    calls = [Call("simulator", simulate={"output_tokens": 3}) for _ in range(10)]

    assert all(call.result().text for call in calls)
    assert len(threads()) == 1


def test_stopping_cancels_what_runs_and_the_next_call_begins_anew() -> None:
    waiting = Call("simulator", simulate={"fail": "stall"})
    gateway.stop(5)

    assert waiting.future.cancelled()
    assert not threads()
    assert Call("simulator", simulate={"output_tokens": 3}).result().text


def test_stopping_closes_connections(settings: Settings) -> None:
    answer = servers.CHUNKED_HEAD + servers.in_chunk(servers.events(servers.payload("openai_stream"))) + b"0\r\n\r\n"
    with servers.vendor(answer, keep_alive=True) as vendor:
        settings.AI_PROVIDERS = {"alice-ai": {"adapter": "openai", "base_url": vendor.url}}
        Call("alice-ai").result()
        assert not vendor.closed.is_set()

        gateway.stop(5)

        assert vendor.closed.wait(60)


def test_stopping_twice_or_unstarted_does_nothing() -> None:
    gateway.stop(5)
    gateway.stop(5)

    assert not threads()


def test_a_forked_process_has_a_loop_of_its_own() -> None:
    Call("simulator", simulate={"output_tokens": 3}).result()

    pid = os.fork()
    if pid == 0:
        try:
            text = Call("simulator", simulate={"output_tokens": 3}).result().text
            os._exit(0 if text else 1)
        finally:
            os._exit(2)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert Call("simulator", simulate={"output_tokens": 3}).result().text


def test_a_listener_s_own_error_ends_the_call_and_not_the_loop() -> None:
    def refuse(_: Delta) -> None:
        raise LookupError("alice")

    request = CompletionRequest("sim-1", (Message("user", "Good morning"),), 50)
    future = gateway.start(Candidate("simulator", "sim-1"), request, refuse)

    assert isinstance(future.exception(10), LookupError)
    assert Call("simulator", simulate={"output_tokens": 3}).result().text


def test_a_provider_that_is_not_configured_here_is_not_found() -> None:
    call = Call("bobs-ai")

    assert type(call.error()) is ModelNotFound
    assert call.bill().total == 0
