"""A call ends in time, whatever the other end does and however the client divides its call."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from documents import deadlines
from documents.deadlines import seconds_left, within

SECONDS = 0.4
DRIP = 0.05  # seconds; far below every timeout for one read


@contextmanager
def ends_in_time(seconds: float = SECONDS) -> Iterator[None]:
    began = time.monotonic()
    with pytest.raises(TimeoutError), within(seconds):
        yield
    assert seconds * 0.9 < time.monotonic() - began < seconds + 0.4


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], Any]], socket.socket]]:
    """A connection to a server that does as told with its end."""
    ends: list[socket.socket] = []

    def start(behave: Callable[[socket.socket], Any]) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listener.getsockname(), timeout=5)
        ends.extend((listener, client, listener.accept()[0]))
        threading.Thread(target=behave, args=[ends[-1]], daemon=True).start()
        return client

    yield start
    for end in ends:
        end.close()


def drip(end: socket.socket) -> None:
    with suppress(OSError):
        while True:
            end.sendall(b"x")
            time.sleep(DRIP)


def test_a_byte_now_and_then_is_no_answer(serve: Any) -> None:
    client = serve(drip)
    with ends_in_time():
        while True:
            client.recv(100)


def test_a_file_made_of_a_socket_is_no_way_round(serve: Any) -> None:
    file = serve(drip).makefile("rb")
    with ends_in_time():
        file.readline()


def test_silence_ends_sooner_when_the_deadline_comes_before_the_timeout(serve: Any) -> None:
    client = serve(lambda end: None)
    with ends_in_time():
        client.recv(100)


def test_without_a_timeout_of_its_own_a_socket_has_the_deadline(serve: Any) -> None:
    client = serve(lambda end: None)
    client.settimeout(None)
    with ends_in_time():
        client.recv(100)


def test_what_nobody_takes_ends(serve: Any) -> None:
    client = serve(lambda end: None)
    with ends_in_time():
        client.sendall(bytes(50_000_000))


def test_a_server_that_takes_little_by_little_ends_too(serve: Any) -> None:
    def sip(end: socket.socket) -> None:
        with suppress(OSError):
            while end.recv(10_000):
                time.sleep(DRIP)

    client = serve(sip)
    with ends_in_time():
        while True:
            client.sendall(bytes(100_000))


def test_many_addresses_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting to each may take as long as is left, not as long as the timeout."""
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())  # its queue is full: who comes now waits
        [address] = socket.getaddrinfo(*full.getsockname(), type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [address] * 5)
        with ends_in_time():
            socket.create_connection(full.getsockname(), timeout=0.3)


def test_a_resolver_that_is_silent_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    silent = deadlines._looked_up(lambda *args, **kwargs: asked.wait(10))
    monkeypatch.setattr(socket, "getaddrinfo", silent)
    with ends_in_time():
        socket.create_connection(("storage.example", 80), timeout=5)
    asked.set()


def test_a_name_that_does_not_exist_is_the_same_error() -> None:
    with within(5), pytest.raises(socket.gaierror):
        socket.getaddrinfo("nowhere.invalid", 80)


def test_afterwards_a_socket_has_its_own_timeout_again(serve: Any) -> None:
    client = serve(drip)
    with within(SECONDS):
        client.recv(1)
    assert client.gettimeout() == 5
    assert seconds_left() == float("inf")
    assert client.recv(1) == b"x"


def test_the_earlier_of_two_deadlines_holds() -> None:
    with within(1), within(5):
        assert seconds_left() <= 1
    with within(5):
        with within(1):
            pass
        assert seconds_left() > 4


def test_other_threads_have_theirs(serve: Any) -> None:
    heard: list[bytes] = []
    client = serve(drip)
    with within(-1):
        thread = threading.Thread(target=lambda: heard.append(client.recv(1)))
        thread.start()
        thread.join(5)
    assert heard == [b"x"]


def test_when_it_is_over_nothing_is_begun(serve: Any) -> None:
    client = serve(drip)
    with within(-1):
        with pytest.raises(TimeoutError):
            client.sendall(b"x")
        with pytest.raises(TimeoutError):
            socket.create_connection(client.getpeername(), timeout=5)


@pytest.mark.parametrize("secret", [False, True], ids=["in the handshake", "in a record"])
def test_tls_that_drips_ends_too(serve: Any, tmp_path: Path, secret: bool) -> None:
    certificate = self_signed(tmp_path)

    def behave(end: socket.socket) -> None:
        with suppress(OSError):
            if not secret:
                return drip_bytes(end, b"\x16\x03\x03\x40\x00" + bytes(16384))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            tls = context.wrap_socket(end, server_side=True)
            while True:
                tls.sendall(b"x")
                time.sleep(DRIP)

    context = ssl.create_default_context(cafile=str(certificate))
    raw = serve(behave)
    if secret:
        with context.wrap_socket(raw, server_hostname="localhost") as client, ends_in_time():
            while True:
                client.recv(100)
    else:
        with ends_in_time():
            context.wrap_socket(raw, server_hostname="localhost")


def drip_bytes(end: socket.socket, data: bytes) -> None:
    for number in range(len(data)):
        end.sendall(data[number : number + 1])
        time.sleep(DRIP)


def self_signed(folder: Path) -> Path:
    """A file with a key and a certificate for "localhost"."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "localhost.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
