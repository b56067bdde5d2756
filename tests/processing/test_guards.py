"""What no other test would miss: a breakage of tests/mutants survived without each of these."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import dramatiq
import pytest

from documents import lifecycle, outages
from documents.models import Document, Outage, OutboxMessage
from processing import actors, heartbeat, middleware, pipeline, relay
from processing.errors import PermanentError, WorkerStopping
from tests.conftest import let_outages_pass, process

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]


def test_the_parser_has_the_limits_of_the_settings(
    make_document: MakeDocument, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PARSE_TIMEOUT, settings.PARSE_MEMORY_BYTES = 17, 2**28
    seen: dict[str, Any] = {}

    def pieces(path: Any, content_type: str, **limits: Any) -> None:
        seen.update(limits)
        raise PermanentError("seen", "Seen.")

    monkeypatch.setattr(pipeline.parsing, "pieces", pieces)
    assert process(make_document()).failure_code == "seen"
    assert (seen["timeout"], seen["memory_bytes"]) == (17, 2**28)
    assert seen["check"]  # so that a lost lease ends the child too


def test_a_probe_that_got_its_first_passages_into_the_index_ends_the_outage(
    make_document: MakeDocument, settings: Any
) -> None:
    settings.LEASE = timedelta(minutes=10)  # nobody renews it here, however busy the machine
    outages.failed("embedding", "the embedding service is not available.", None, is_probe=False)
    document, other = make_document("first.md"), make_document("second.md")
    let_outages_pass()
    assert process(document).status == "ready"
    assert not Outage.objects.exists()
    claim = lifecycle.claim(other.pk)
    assert claim
    assert not claim.is_probe


@pytest.fixture
def lease(make_document: MakeDocument) -> Iterator[heartbeat.Lease]:
    claim = lifecycle.claim(make_document().pk)
    assert claim
    with heartbeat.hold(claim, time.monotonic()) as lease:
        yield lease


def test_a_worker_that_is_to_stop_tells_its_pipelines(
    lease: heartbeat.Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "FINISH_SECONDS", -1)
    lease.check()
    middleware.Heartbeat().before_worker_shutdown(dramatiq.get_broker(), None)
    with pytest.raises(WorkerStopping):
        lease.check()


def test_a_worker_that_stops_hands_back_what_is_blocked_in_a_call(lease: heartbeat.Lease) -> None:
    middleware.Heartbeat().after_worker_shutdown(dramatiq.get_broker(), None)
    document = Document.objects.get(pk=lease.claim.document_id)
    assert (document.status, document.attempts) == ("pending", 0)


def test_a_message_that_redis_does_not_take_stays_in_the_outbox(
    make_document: MakeDocument, broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError

    make_document()
    monkeypatch.setattr(actors.process, "send", refuse)
    with pytest.raises(ConnectionError):
        relay.post_due()
    assert OutboxMessage.objects.count() == 1
