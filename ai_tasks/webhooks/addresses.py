"""Which addresses a webhook may go to: public ones, judged when the socket is made, so that no name can lie."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

CARRIERS = (ip_network("64:ff9b::/96"), ip_network("::/96"))
"""An IPv4 address in the last 32 bits: RFC 6052, and RFC 4291's compatible ones, which some systems still take."""


class ForbiddenAddress(OSError):
    """Nothing is sent there."""


def guarded_socket(info: tuple[Any, ...]) -> socket.socket:
    """
    Return a socket for an address as `getaddrinfo` tells it, about to be connected to; raises ForbiddenAddress.

    aiohttp calls this with the very address that it connects to (`TCPConnector(socket_factory=...)`): there is no
    second look-up that could answer otherwise.
    """
    family, kind, protocol, _name, place = info
    if not settings.AI_WEBHOOK_ALLOW_PRIVATE and not is_public(place[0]):
        raise ForbiddenAddress("The address is not a public one.")
    return socket.socket(family, kind, protocol)


def is_public(text: str) -> bool:
    """Is this the address of a machine that anybody may reach? One that carries others is judged by those."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    carried = _carried(address)
    return all(map(_is_global, carried)) if carried else _is_global(address)


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _carried(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    last = IPv4Address(int(address) & 0xFFFF_FFFF)
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    return [each for each in found if each is not None] + [last for network in CARRIERS if address in network]


def complaint(url: str) -> str:
    """
    Return why nothing would be sent to this URL, as far as its text tells, or nothing.

    A courtesy to who enters it. Numbers that some resolvers take for addresses (`2130706433`, `0177.1`) are read too.
    """
    if settings.AI_WEBHOOK_ALLOW_PRIVATE:
        return ""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return "It is this machine's own."
    return "" if (literal := _literal(host)) is None or is_public(literal) else "It is not a public address."


def _literal(host: str) -> str | None:
    """Return the address that a host is without any look-up, or None: it is a name."""
    if ":" in host:
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None
