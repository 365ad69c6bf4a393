"""What URLs of users may reach: public addresses, whatever their form, their names or their servers say."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from file_server import Answer, serving

from recon.errors import InputError
from workers.fetch import Fetcher, Unreachable, addresses, check_url, is_public

FORMS = [
    "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://127.1/", "http://0177.0.0.1/", "http://017700000001/",
    "http://1.2.3.4./", "http://user@example.org/", "http://user:word@example.org/", "http://@example.org/",
    "http://example.org\\@127.0.0.1/", "http://example.org:22/", "http://example.org:25/", "http://example.org:0/",
    "http://example.org:65536/", "ftp://example.org/", "file:///etc/passwd", "gopher://example.org/", "//example.org/", "example.org", "",
    "http://", "http:///x", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://a b/", "http://example.org/a b",
    "http://example.org/\r\nHost: other", "http://\uff11\uff12\uff17.0.0.1/", f"http://example.org/{'x' * 2000}",
]  # fmt: skip
PRIVATE = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.8.8", "168.63.129.16", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "100::1", "2001::1", "2001:0:4136:e378::1",
    "2001:db8::1", "2002:7f00:1::", "2002:808:808::", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%2", "fec0::1", "ff02::1",
    "not an address",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Every name has these addresses; each call takes the next answer, the last one stays."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        numbers = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [(socket.AF_INET6 if ":" in n else socket.AF_INET, socket.SOCK_STREAM, 6, "", (n, port)) for n in numbers]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def fetch(url: str, **options: Any) -> bytes:
    fetcher = Fetcher(**options)
    try:
        with fetcher.get(url, {}, 5) as response:
            return b"".join(response.iter_raw())
    finally:
        fetcher.close()


@pytest.mark.parametrize("url", FORMS)
def test_urls_of_another_form_are_refused(url: str) -> None:
    with pytest.raises(InputError):
        check_url(url)
    with pytest.raises(InputError):  # also where private addresses are allowed
        fetch(url, allow_private=True)


def test_usual_urls_are_not() -> None:
    for url in (
        "http://example.org",
        "https://example.org:8443/a/b?c=d&e#f",
        "https://example.org?mail=a@b",
        "http://93.184.215.14/",
        "http://[2606:4700::1111]:8080/x",
    ):
        assert check_url(url).host in url
    assert check_url("https://bücher.example/ä.jpg").raw_host == b"xn--bcher-kva.example"


def test_addresses_are_public_or_not() -> None:
    assert [number for number in PRIVATE if is_public(number)] == []
    assert [number for number in PUBLIC if not is_public(number)] == []


@pytest.mark.parametrize("numbers", [["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["8.8.8.8", "::1"], ["::ffff:10.1.1.1"], []])
def test_a_name_with_any_address_that_is_private_is_refused(numbers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, numbers)
    with pytest.raises(InputError, match=r"^innocent.example has no public address") as refused:
        fetch("http://innocent.example/")
    assert not any(number in str(refused.value) for number in numbers)  # what is inside is nobody's business
    resolving(monkeypatch, ["8.8.8.8", "2606:4700::1111"])
    assert addresses("innocent.example", 80) == ["8.8.8.8", "2606:4700::1111"]


def test_addresses_in_figures_and_local_names_are_refused() -> None:
    with serving() as server:
        server.answers["/"] = Answer(b"secret")
        for host in ("127.0.0.1", "localhost", "localhost.", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"):
            with pytest.raises(InputError, match="has no public address"):
                fetch(f"http://{host}:{server.port}/")
        assert server.asked == []
        assert fetch(f"http://localhost:{server.port}/", allow_private=True) == b"secret"


def test_the_address_that_was_looked_at_is_the_one_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []

    def connect(address: Any, *_: Any, **__: Any) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    asked = resolving(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])  # the second answer is another, as of a name that rebinds
    with pytest.raises(Unreachable):
        fetch("http://rebinding.example/")
    assert (asked, connected) == (["rebinding.example"], [("8.8.8.8", 80)])
    with pytest.raises(InputError, match="no public address"):
        fetch("http://rebinding.example/")
    assert len(connected) == 1


def test_redirects_are_followed_one_by_one_and_each_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:
        server.answers["/a"] = Answer(status=302, headers={"Location": "/b"})
        server.answers["/b"] = Answer(status=307, headers={"Location": f"{server.url}/c"})
        server.answers["/c"] = Answer(b"there")
        server.answers["/loop"] = Answer(status=302, headers={"Location": "/loop"})
        assert fetch(f"{server.url}/a", allow_private=True) == b"there"
        with pytest.raises(InputError, match="leads on more than 5 times"):
            fetch(f"{server.url}/loop", allow_private=True)
        for target in ("file:///etc/passwd", "http://user@example.org/", "http://2130706433/", f"{server.url[:-6]}:22/", "ftp://x/y"):
            server.answers["/out"] = Answer(status=302, headers={"Location": target})
            with pytest.raises(InputError):
                fetch(f"{server.url}/out", allow_private=True)
        # public.example passes, by a check that only this test knows; where it leads on to does not
        monkeypatch.setattr("workers.fetch.is_public", lambda number: number == "127.0.0.1")
        server.answers["/inside"] = Answer(status=302, headers={"Location": "http://[::1]/"})
        with pytest.raises(InputError, match="::1 has no public address"):
            fetch(f"{server.url}/inside")


def test_nothing_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    with serving() as server, serving() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("HOME", str(tmp_path))
        server.answers["/"] = Answer(b"direct")
        assert fetch(f"{server.url}/", allow_private=True) == b"direct"
        assert proxy.asked == []
        assert "Authorization" not in server.asked[0].headers


def test_certificates_are_checked_against_the_name_though_the_address_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x"
    more = ["-addext", "subjectAltName=DNS:files.example", "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")]
    subprocess.run([*make.split(), *more], check=True, capture_output=True)
    names: list[str] = []
    of_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    of_server.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    of_server.sni_callback = lambda _, name, __: names.append(name)
    trusted = ssl.create_default_context(cafile=str(tmp_path / "cert"))
    resolving(monkeypatch, ["127.0.0.1"])
    with serving(of_server) as server:
        server.answers["/"] = Answer(b"private")
        assert fetch(f"https://files.example:{server.port}/", allow_private=True, trusted=trusted) == b"private"
        assert server.asked[0].headers["Host"] == f"files.example:{server.port}"
        with pytest.raises(Unreachable, match="certificate"):
            fetch(f"https://other.example:{server.port}/", allow_private=True, trusted=trusted)
        with pytest.raises(Unreachable, match="certificate"):
            fetch(f"https://files.example:{server.port}/", allow_private=True)
    assert names == ["files.example", "other.example", "files.example"]


@pytest.mark.parametrize("drip", [b"", b"x"])
def test_a_server_that_is_slow_gets_no_more_time(drip: bytes) -> None:
    """``drip``: nothing at all, or a header that comes byte by byte."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while not ended.wait(0.05):
                    try:
                        connection.sendall(drip)
                    except OSError:
                        return

        thread = threading.Thread(target=answer)
        thread.start()
        fetcher = Fetcher(allow_private=True)
        began_s = time.monotonic()
        with pytest.raises(Unreachable):
            fetcher.post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {}, within_s=0.4)
        assert time.monotonic() - began_s < 2
        fetcher.close()
        ended.set()
        thread.join()


def test_headers_have_a_limit() -> None:
    with serving() as server:
        server.answers["/"] = Answer(headers={f"X-{i}": "x" * 1000 for i in range(200)})
        with pytest.raises(Unreachable):
            fetch(f"{server.url}/", allow_private=True)
