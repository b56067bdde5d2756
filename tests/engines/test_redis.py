"""Redis with a password and behind TLS: `rediss://`, the server's certificate checked.

The wheel's Redis may lack TLS, so a relay before it speaks it; to the client that is all the same.
"""

import asyncio
import runpy
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import trustme
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from deploy.local.process import REPOSITORY
from documents.models import Document, KnowledgeBase, OutboxMessage
from processing import actors, relay

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def speak(settings: Any, broker: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the application use this REDIS_URL, as its settings read it."""

    def use(url: str) -> None:
        monkeypatch.setenv("REDIS_URL", url)
        options = runpy.run_path(f"{REPOSITORY}/lumikb/settings.py")["DRAMATIQ_BROKER"]["OPTIONS"]
        pool = options["client"].connection_pool  # scripts keep their client
        monkeypatch.setattr(broker.client, "connection_pool", pool)

    return use


@pytest.fixture
def upload(
    api: Callable[[User], Client], editor: User, knowledge_base: KnowledgeBase
) -> Callable[[], Document]:
    def post() -> Document:
        file = SimpleUploadedFile("notes.md", b"# Notes\n\nThe heron nests in April.\n")
        response = api(editor).post("/api/v1/knowledge-bases/handbook/documents", {"file": file})
        assert response.status_code == 201, response.content
        return Document.objects.get()

    return post


@contextmanager
def tls_before(url: str, certificate: trustme.LeafCert) -> Iterator[int]:
    """A port that takes TLS and passes what is in it on to the server of `url`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    upstream = urlsplit(url).port

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(_pump(reader, forth), _pump(back, writer))

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    starting = asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    server = asyncio.run_coroutine_threadsafe(starting, loop).result(10)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


def rediss(port: int, usual: str, authority: trustme.CA, folder: Path) -> str:
    file = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    return f"rediss://:{urlsplit(usual).password}@127.0.0.1:{port}/0?ssl_ca_certs={file}"


def test_a_document_passes_through_tls(
    speak: Callable[[str], None],
    upload: Callable[[], Document],
    broker: Any,
    settings: Any,
    authority: trustme.CA,
    tmp_path: Path,
) -> None:
    with tls_before(settings.REDIS_URL, authority.issue_cert("127.0.0.1")) as port:
        speak(rediss(port, settings.REDIS_URL, authority, tmp_path))
        document = upload()
        assert relay.post_due() == 1
        message = next(iter(broker.consume(actors.QUEUE, timeout=1000)))
        assert message.args == (str(document.pk),)
        kwargs = broker.client.connection_pool.connection_kwargs
        assert (kwargs["socket_timeout"], kwargs["socket_connect_timeout"]) == (3, 3)
        broker.client.connection_pool.disconnect()


@pytest.mark.parametrize("flaw", ["of another authority", "for another name"])
def test_a_certificate_that_is_not_right_is_refused_and_the_row_stays(
    flaw: str,
    speak: Callable[[str], None],
    upload: Callable[[], Document],
    settings: Any,
    authority: trustme.CA,
    tmp_path: Path,
) -> None:
    signer = trustme.CA() if flaw == "of another authority" else authority
    name = "redis.example" if flaw == "for another name" else "127.0.0.1"
    with tls_before(settings.REDIS_URL, signer.issue_cert(name)) as port:
        speak(rediss(port, settings.REDIS_URL, authority, tmp_path))
        upload()
        with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
            relay.post_due()
    assert OutboxMessage.objects.count() == 1


@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_password_that_is_not_right_keeps_no_upload_out_and_the_row_until_it_is(
    password: str, speak: Callable[[str], None], upload: Callable[[], Document], settings: Any
) -> None:
    usual = settings.REDIS_URL
    speak(usual.replace(urlsplit(usual).password, password))
    document = upload()
    with pytest.raises(redis.AuthenticationError):
        relay.post_due()
    assert OutboxMessage.objects.get().document == document
    speak(usual)
    assert relay.post_due() == 1
