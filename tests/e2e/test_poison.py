"""A document that kills its worker every time."""

from collections.abc import Callable

import pytest

from documents.models import Stage
from tests.e2e.lab import PATIENCE, Lab
from tests.e2e.product import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * PATIENCE)]


def test_a_document_that_kills_its_worker_fails_and_the_next_one_becomes_ready(
    lab: Callable[..., Lab],
) -> None:
    ward = lab()
    [poison] = upload_with_poison(ward)
    document, kinds = ward.product.document(poison), ward.product.events(poison)
    assert document["failure_code"] == "worker_died"
    assert Stage.PARSE.label.lower() in document["failure_message"]
    assert kinds == ["registered", *["claimed", "reclaimed"] * 2, "claimed", "failed"]
    assert document["attempts"] == 3

    following = ward.upload(b"Herons.\n")
    ward.product.wait_until_ready([following], PATIENCE)
    print(f'\nfailed after 3 claims: "{document["failure_message"]}"; the next one is READY')


@pytest.mark.long
def test_those_that_a_worker_has_beside_a_document_that_kills_it_become_ready(
    lab: Callable[..., Lab], full: bool
) -> None:
    """They die with their worker, and are not to blame."""
    ward = lab()
    poison, *beside = upload_with_poison(ward, *[ward.text(70 if full else 30)] * 3)
    for document in beside:
        wait_for(lambda: status(ward, document) in ("ready", "failed"), PATIENCE, document)  # noqa: B023
    assert [status(ward, document) for document in beside] == ["ready"] * 3
    assert ward.product.events(poison).count("claimed") == 3


def upload_with_poison(ward: Lab, *beside: bytes) -> list[str]:
    """A document that kills its worker, and others that are in work at the same time.

    Returns their ids, the killer's first, when it is FAILED.
    """
    with ward.without("relay"):
        others = [ward.upload(content) for content in beside]
        poison = ward.upload(b"Herons.\n")
        ward.failpoints.set("worker.parsed", "kill", document=poison, always=True)
    wait_for(lambda: status(ward, poison) == "failed", PATIENCE, "the killer to be given up")
    return [poison, *others]


def status(ward: Lab, document: str) -> str:
    return str(ward.product.document(document)["status"])
