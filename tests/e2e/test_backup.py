"""A backup of documents in every state, new servers, and what the restore brings back."""

import os
from collections.abc import Callable, Iterable
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection
from django.db.models import F

from documents import lifecycle
from documents.models import ApiToken, Document, OutboxMessage
from tests.conftest import LONG_AGO, let_lease_expire, process
from tests.e2e.backup import Backup, new_world
from tests.e2e.lab import PATIENCE
from tests.e2e.product import wait_for
from tests.e2e.stores import Stores, assert_exact
from tests.processing import files
from tests.searching import search

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.django_db(transaction=True),
]

BIRDS = {
    "chiffchaff": "sings its own name from the top of an alder, all day long, from March on.",
    "wryneck": "twists its head like a snake when somebody comes too near to its hole.",
    "avocet": "swings its bill, which is bent upwards, through shallow water.",
    "bittern": "stands still between the reeds, and booms at night over a mile and more.",
    "gadwall": "steals weeds from coots that have dived for them.",
    "nuthatch": "narrows the entrance of its nest with mud, and walks down trees head first.",
}
QUESTIONS = (
    *BIRDS,
    "Which bird says its name?",
    "Who walks down a tree?",
    "a voice that carries far at night",
    "When does the ferry go?",
)


class Here:
    """The stores of this process's tests, as Stores asks for them."""

    @staticmethod
    def setting(name: str) -> str:
        if name == "STORAGE_ROOT":
            return str(default_storage.location)  # type: ignore[attr-defined]
        value = os.environ[name]
        database = connection.settings_dict["NAME"]
        return (
            urlsplit(value)._replace(path=f"/{database}").geturl() if "postgres" in value else value
        )


@pytest.fixture
def write(make_document: Callable[..., Document]) -> Callable[..., Document]:
    """A document with one sentence, PENDING."""

    def make(name: str, sentence: str, **fields: Any) -> Document:
        return make_document(f"{name}.md", f"# {name}\n\n{sentence}\n".encode(), **fields)

    return make


def test_all_is_found_again_in_a_world_that_had_nothing(
    tmp_path: Path,
    write: Callable[..., Document],
    make_document: Callable[..., Document],
    editor: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The dump is taken while documents are in every state; the objects when these have moved on
    and more are there."""
    token = ApiToken.issue(editor, "a script's")
    ready = [process(write(bird, f"It {does}")) for bird, does in BIRDS.items()]
    failed = process(make_document("failed.pdf", files.encrypted_pdf(), files.PDF))
    deleted = process(write("deleted", "Nobody reads this until somebody wants it back."))
    lifecycle.soft_delete(deleted.pk, editor)
    replaced = process(write("ferry", "The ferry goes at nine."))
    lifecycle.soft_delete(replaced.pk, editor)
    replacement = write("new", "The ferry goes at ten, but not on Sundays.", replaces=replaced)
    queued = write("queued", "This waits in the outbox, whose messages come back with it.")
    posted = write("posted", "This was posted to a broker that is gone.")
    OutboxMessage.objects.filter(document=posted).delete()
    Document.objects.filter(pk=posted.pk).update(posted_at=F("posted_at") - LONG_AGO)
    busy = write("busy", "This has a worker of which nobody will hear again.")
    claim = lifecycle.claim(busy.pk)
    assert claim
    default_storage.save(busy.text_key(claim.epoch), ContentFile(b"This has"))
    states = "ready", "failed", "pending", "processing"
    assert set(Document.objects.live().values_list("status", flat=True)) == set(states)
    backup = Backup(tmp_path / "backup")

    backup.take_database(inventory(), Here.setting("OWNER_DATABASE_URL"))

    assert lifecycle.reclaim(let_lease_expire(busy))
    waiting = [process(document) for document in (replacement, queued, posted, busy)]
    lost = process(write("lost", "This came after the dump."))
    lifecycle.soft_delete(lost.pk, editor)
    backup.take_objects(Here.setting("STORAGE_ROOT"))
    before = {each.pk: Stores(Here).held(str(each.pk)) for each in [*ready, *waiting]}
    answers = {each: [hit.chunk.pk for hit in search(editor, each)] for each in QUESTIONS}

    monkeypatch.setenv("RECONCILE_EVERY", "2")
    with new_world(tmp_path / "world", backup, LEASE_SECONDS="4", WEB_CONCURRENCY="1") as restored:
        restored.restore_database()
        restored.restore_objects()
        status, complaints = restored.compare()
        assert status == 1
        assert f"points: {len(ready)} are missing" in complaints
        assert complaints.count(" missing") == 1
        stores = Stores(restored)
        api = restored.start(token)
        wait_for(lambda: are_indexed(stores, before), PATIENCE, "all to be READY")
        assert restored.compare() == (0, "")
        for document_id, held in before.items():
            after = stores.held(str(document_id))
            assert_exact(after, held)
            assert "postponed" not in after.kinds()
        assert answers == {each: ids(api, each) for each in QUESTIONS}
        assert api.get(f"documents/{failed.pk}").json()["failure_code"] == failed.failure_code
        assert api.get(f"documents/{lost.pk}").status_code == 404
        assert api.post(f"documents/{deleted.pk}/restore").status_code == 200
        wait_for(lambda: bool(stores.held(str(deleted.pk)).points), PATIENCE, "its points")


def inventory() -> str:
    out = StringIO()
    call_command("inventory", "--json", stdout=out)
    return out.getvalue()


def are_indexed(stores: Stores, documents: Iterable[Any]) -> bool:
    """Are they READY, with all their points?"""
    held = [stores.held(str(each)) for each in documents]
    return all(each.row["status"] == "ready" and len(each.points) == 1 for each in held)


def ids(api: httpx.Client, question: str) -> list[Any]:
    """The passages that answer it, the best first."""
    answer = api.post("search", json={"query": question}).raise_for_status()
    return [UUID(each["chunk_id"]) for each in answer.json()["results"]]
