"""Webhooks go to public addresses only, whatever a name or a number says."""

import socket
from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks import courier, endpoints
from ai_tasks.webhooks import addresses, events
from tests.ai_tasks.webhooks.conftest import delivery
from tests.ai_tasks.webhooks.receiver import Receiver
from tests.engine import NOW, at

PRIVATE = [
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",  # noqa: S104
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "nonsense",
]
PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize(("text", "expected"), [*((each, False) for each in PRIVATE), *((e, True) for e in PUBLIC)])
def test_only_what_anybody_may_reach_is_public(text: str, expected: bool) -> None:
    assert addresses.is_public(text) is expected


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "[::1]", "[::ffff:127.0.0.1]", "localhost"],
)
def test_a_private_host_is_refused_when_it_is_entered(host: str) -> None:
    assert addresses.complaint(f"http://{host}:8000/")


@pytest.mark.parametrize("host", ["example.com", "8.8.8.8", "[2606:2800:220:1:248:1893:25c8:1946]", "10.example.com"])
def test_a_public_host_is_not(host: str) -> None:
    assert addresses.complaint(f"https://{host}/") == ""


def test_a_socket_is_made_for_public_addresses_only(settings: Any) -> None:
    (private,) = socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    (public,) = socket.getaddrinfo("8.8.8.8", 80, type=socket.SOCK_STREAM)

    addresses.guarded_socket(public).close()
    with pytest.raises(addresses.ForbiddenAddress):
        addresses.guarded_socket(private)
    settings.AI_WEBHOOK_ALLOW_PRIVATE = True
    addresses.guarded_socket(private).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "127.1"])
def test_nothing_is_sent_to_a_private_address_by_any_of_its_names(
    alice: User, receiver: Receiver, settings: Any, host: str
) -> None:
    endpoint = endpoints.create(alice, NOW, url=f"http://{host}:{receiver.port}/hook")
    settings.AI_WEBHOOK_ALLOW_PRIVATE = False
    events.ping(endpoint, NOW)

    courier.send_due(at(1))

    assert receiver.received == []
    assert delivery().log[0]["error"] in ("forbidden_address", "no_connection", "invalid_url", "connection_failed")


def test_the_log_says_that_the_address_is_forbidden(alice: User, receiver: Receiver, settings: Any) -> None:
    endpoint = endpoints.create(alice, NOW, url=receiver.url)
    settings.AI_WEBHOOK_ALLOW_PRIVATE = False
    events.ping(endpoint, NOW)

    courier.send_due(at(1))

    assert delivery().log[0]["error"] == "forbidden_address"
