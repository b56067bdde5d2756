"""The proxy passes, and does each kind of harm."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from deploy.local.servers import free_ports
from tests.chaos.proxy import Proxies, Proxy

SHORT = 0.3  # seconds in which an answer would have come


class Echo:
    """A server that answers with what it hears; `heard` is all of it."""

    def __init__(self) -> None:
        self.heard = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            threading.Thread(
                target=self._answer, args=[self._listener.accept()[0]], daemon=True
            ).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(ConnectionResetError):
            while data := connection.recv(1000):
                self.heard += data
                connection.sendall(data)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxies({"echo": free_ports(1)[0]}, lambda name: echo.port) as proxies:
        yield proxies.by_name["echo"]


def connected(proxy: Proxy) -> socket.socket:
    client = socket.create_connection(proxy.address, timeout=5)
    client.sendall(b"one")
    assert client.recv(10) == b"one"
    return client


def test_a_cut_resets_what_is_connected_and_lets_new_ones_pass(proxy: Proxy) -> None:
    client = connected(proxy)
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(10)
    connected(proxy)


def test_refusing_resets_what_is_connected_and_what_comes(proxy: Proxy) -> None:
    client = connected(proxy)
    proxy.refuse()
    with pytest.raises(ConnectionResetError):
        client.recv(10)
    with pytest.raises(ConnectionResetError):
        connected(proxy)
    proxy.heal()
    time.sleep(SHORT)
    connected(proxy)


def test_what_is_swallowed_arrives_when_it_heals(proxy: Proxy, echo: Echo) -> None:
    client = connected(proxy)
    proxy.swallow()
    client.sendall(b"two")
    time.sleep(SHORT)
    assert echo.heard == b"one"
    proxy.heal()
    assert client.recv(10) == b"two"


def test_muted_requests_are_done_and_their_answers_are_lost(proxy: Proxy, echo: Echo) -> None:
    client = connected(proxy)
    proxy.mute()
    client.sendall(b"two")
    time.sleep(SHORT)
    assert echo.heard == b"onetwo"
    proxy.cut()
    proxy.heal()
    with pytest.raises(ConnectionResetError):
        client.recv(10)
    connected(proxy)


def test_where_it_left_nobody_listens_until_it_heals(proxy: Proxy) -> None:
    client = connected(proxy)
    proxy.leave()
    with pytest.raises(ConnectionResetError):
        client.recv(10)
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    proxy.heal()
    time.sleep(SHORT)
    connected(proxy)


def test_answers_drip_byte_by_byte_until_it_heals(proxy: Proxy, echo: Echo) -> None:
    client = connected(proxy)
    proxy.drip(SHORT)
    client.sendall(b"two")
    assert client.recv(10) == b"t"
    assert echo.heard == b"onetwo"
    began = time.monotonic()
    assert client.recv(10) == b"w"
    assert time.monotonic() - began > SHORT / 2
    proxy.heal()
    assert client.recv(10) == b"o"


def test_an_answer_that_is_cut_was_asked_for(proxy: Proxy, echo: Echo) -> None:
    client = connected(proxy)
    proxy.cut_answers()
    client.sendall(b"two")
    with pytest.raises(ConnectionResetError):
        client.recv(10)
    assert echo.heard == b"onetwo"
    proxy.heal()
    time.sleep(SHORT)
    connected(proxy)


def test_half_open_connections_take_all_and_answer_nothing(proxy: Proxy, echo: Echo) -> None:
    old = connected(proxy)
    proxy.half_open()
    time.sleep(SHORT)
    for client in (old, socket.create_connection(proxy.address)):
        client.sendall(b"two")
        client.settimeout(SHORT)
        with pytest.raises(TimeoutError):
            client.recv(10)
    assert echo.heard == b"one"
    proxy.heal()
    old.settimeout(5)
    with pytest.raises(ConnectionResetError):
        old.recv(10)
    connected(proxy)
