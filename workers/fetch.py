"""HTTP to hosts that users name: to public addresses only, and only to the very address that was looked at.

Raises Unreachable, or InputError for what must not be reached.

A name is resolved once for each connection, here, and the connection goes to an address that passed: a name that answers
otherwise a moment later (DNS rebinding) gains nothing. Redirects are followed by hand, so that each is looked at alike.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpcore
import httpx

from recon import __version__
from recon.errors import InputError, ReconError

MAX_URL = 2000
MAX_REDIRECTS = 5
CONNECT_S, READ_S = 10.0, 30.0
ANSWER_S = 60.0
"""Until the headers of an answer are there, redirects included."""
PORTS = (80, 443)
"""Allowed below 1024: no mail, no remote shell."""
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_REFUSED: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = (
    ipaddress.IPv6Network("2001::/23"),  # Teredo and other addresses that carry another
    ipaddress.IPv6Network("2002::/16"),  # 6to4
    ipaddress.IPv6Network("3fff::/20"),
    ipaddress.IPv4Network("100.64.0.0/10"),  # behind a provider's NAT
    ipaddress.IPv4Network("192.0.0.0/24"),
    ipaddress.IPv4Network("192.88.99.0/24"),
    ipaddress.IPv4Network("168.63.129.16/32"),  # public by its number, but each Azure machine's own
)


class Unreachable(ReconError):
    """The other side does not answer, or breaks off: another try may help."""

    code = "unreachable"


def check_url(url: str) -> httpx.URL:
    """The URL, if its form is one we would ask. Says nothing about where its host leads: ``addresses`` does."""
    if len(url) > MAX_URL:
        raise InputError(f"the URL is longer than {MAX_URL} characters")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise InputError(f"{shown(url)} is no URL: {error}") from None
    if reason := _reason(url, parsed):
        raise InputError(f"{shown(url)} can't be used: {reason}", "Give an http:// or https:// URL of a public host")
    return parsed


def _reason(url: str, parsed: httpx.URL) -> str:
    if parsed.scheme not in ("http", "https"):
        return "it is neither http nor https"
    if any(letter <= " " or letter in "\\\x7f" for letter in url):
        return "it has a letter that a URL must encode"
    if parsed.userinfo or "@" in re.split(r"[/?#]", url.partition("://")[2])[0]:
        return "it has a user's name in it"
    if not parsed.host:
        return "it names no host"
    if "%" in parsed.host or (_NUMBER.fullmatch(parsed.host.rstrip(".").rpartition(".")[2]) and not _is_dotted(parsed.host)):
        return "its host is an address in an unusual form"
    if parsed.port is not None and parsed.port not in PORTS and not 1024 <= parsed.port < 65536:
        return f"port {parsed.port} is none of a web server"
    return ""


def addresses(host: str, port: int, allow_private: bool = False) -> list[str]:
    """The host's addresses. InputError unless all of them are public: which private one it is, nobody is told."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
            raise Unreachable(f"the name {host[:100]} could not be looked up") from None
        found = []
    numbers = list(dict.fromkeys(str(row[4][0]) for row in found))
    if not numbers or not (allow_private or all(is_public(number) for number in numbers)):
        raise InputError(f"{host[:100]} has no public address", "Give a URL of a host that anybody can reach")
    return numbers


def is_public(number: str) -> bool:
    """Whether an address, in figures, is one that the whole internet reaches as the same machine."""
    try:
        address = ipaddress.ip_address(number)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or (ipaddress.IPv4Address(address.packed[-4:]) if address in _NAT64 else None)
        if inner is not None:
            return is_public(str(inner))
        if address.scope_id is not None or address not in _PUBLIC_6:  # 2000::/3 leaves out ::127.0.0.1, fe80::, fd00:: and more
            return False
    if any(address in network for network in _REFUSED if network.version == address.version):
        return False
    return address.is_global and not (address.is_private or address.is_multicast or address.is_reserved or address.is_loopback)


class Fetcher:
    """Asks hosts that users name. Of one thread; ``close`` it. Nothing of the environment (proxies, .netrc) is used."""

    def __init__(self, allow_private: bool = False, trusted: ssl.SSLContext | None = None) -> None:
        self.allow_private = allow_private
        self._limit = _Limit()
        self._client = httpx.Client(
            transport=_Transport(_Backend(allow_private, self._limit), trusted or _well_known()),
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": f"recon/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"},
        )

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str], body_s: float) -> Iterator[httpx.Response]:
        """The answer's headers; its body is read with ``iter_raw``, within ``body_s``.

        InputError for what may not be asked, Unreachable where there is no answer, also while the body is read.
        """
        with self._told(url):
            self._limit.within(ANSWER_S)
            response = self._follow(check_url(url), headers)
            try:
                self._limit.within(body_s)
                yield response
            finally:
                response.close()

    def post(self, url: str, body: bytes, headers: Mapping[str, str], within_s: float) -> int:
        """The status of the answer, whose body is not read. A redirect is an answer as any other."""
        with self._told(url):
            self._limit.within(within_s)
            with self._client.stream("POST", check_url(url), content=body, headers=dict(headers)) as response:
                return response.status_code

    def _follow(self, url: httpx.URL, headers: Mapping[str, str]) -> httpx.Response:
        for _ in range(MAX_REDIRECTS + 1):
            response = self._client.send(self._client.build_request("GET", url, headers=dict(headers)), stream=True)
            if not response.has_redirect_location:
                return response
            response.close()
            target = check_url(str(url.join(response.headers["location"])))
            if url.scheme == "https" and target.scheme == "http":
                raise InputError(f"{url.host} leads on from https to http", "Give the URL of the file itself")
            url = target
        raise InputError(f"the URL leads on more than {MAX_REDIRECTS} times", "Give the URL of the file itself")

    @contextmanager
    def _told(self, url: str) -> Iterator[None]:
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise InputError(f"{shown(url)} leads to what is no URL: {error}") from None
        except (httpx.HTTPError, httpx.StreamError, ssl.SSLError) as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(f"{shown(url)} does not answer, or broke off: {reason[:200]}", "Check the URL, or try again later") from None


@cache  # reading the certificates takes longer than most requests
def _well_known() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


class _Limit:
    """Until when all must be done, however slowly the other side sends."""

    def __init__(self) -> None:
        self.within(ANSWER_S)

    def within(self, seconds: float) -> None:
        self._end_s = time.monotonic() + seconds

    def left(self, timeout_s: float | None, error: type[Exception]) -> float:
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise error("it took too long in all")
        return left_s if timeout_s is None else min(timeout_s, left_s)


class _Transport(httpx.HTTPTransport):
    """httpx's own, on our connections. ``_pool`` is not part of its interface: the tests notice if it goes."""

    def __init__(self, backend: _Backend, trusted: ssl.SSLContext) -> None:
        super().__init__(verify=trusted, trust_env=False)
        self._pool.close()  # raises where there is none: better no request than one that nobody looked at
        self._pool = httpcore.ConnectionPool(ssl_context=trusted, max_keepalive_connections=0, network_backend=backend)


class _Backend(httpcore.NetworkBackend):
    """Connects to addresses that passed. The names on the certificate and in ``Host`` stay those of the URL."""

    def __init__(self, allow_private: bool, limit: _Limit) -> None:
        self._allow_private = allow_private
        self._limit = limit
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception | None = None
        for number in addresses(host, port, self._allow_private):
            left_s = self._limit.left(timeout, httpcore.ConnectTimeout)
            try:
                return _Stream(self._plain.connect_tcp(number, port, left_s, local_address, socket_options), self._limit)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure

    def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None) -> Any:  # noqa: ARG002
        raise httpcore.UnsupportedProtocol("no unix sockets")


class _Stream(httpcore.NetworkStream):
    def __init__(self, plain: httpcore.NetworkStream, limit: _Limit) -> None:
        self._plain = plain
        self._limit = limit

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._plain.read(max_bytes, self._limit.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._plain.write(buffer, self._limit.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._plain.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left_s = self._limit.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._plain.start_tls(ssl_context, server_hostname, left_s), self._limit)

    def get_extra_info(self, info: str) -> Any:
        return self._plain.get_extra_info(info)


def _is_dotted(host: str) -> bool:
    try:
        return isinstance(ipaddress.ip_address(host), ipaddress.IPv4Address | ipaddress.IPv6Address)
    except ValueError:
        return False


def shown(url: str) -> str:
    """Without what may be secret in it."""
    return ascii(url.partition("?")[0][:100])
