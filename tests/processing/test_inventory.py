"""What `manage.py inventory` counts, and what it says of a restore."""

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now

from documents import counts, lifecycle, removal, texts
from documents.models import Chunk, Document, KnowledgeBase
from lumikb.storage import FileStorage
from processing import inventory
from processing.index import vectors
from tests.conftest import process

from .stubs import refused_url

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]


@pytest.fixture(autouse=True)
def _nothing_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "SETTLE_SECONDS", 0)


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[], Path]:
    def take() -> Path:
        path = tmp_path / "inventory.json"
        path.write_text(said("--json"))
        return path

    return take


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("inventory", *arguments, stdout=out)
    return out.getvalue()


def complaint(manifest: Path, *arguments: str) -> str:
    with pytest.raises(CommandError) as error:
        said("--compare", str(manifest), *arguments)
    assert error.value.returncode == 1
    return str(error.value)


def test_everything_is_counted(make_ready: MakeDocument, make_document: MakeDocument) -> None:
    ready, pending = make_ready(), make_document("next.md", b"# Next\n\nSoon.\n")
    counted = json.loads(said("--json"))
    assert (counted["users"], counted["knowledge_bases"], counted["documents"]) == (1, 1, 2)
    assert counted["by_status"] == {"ready": 1, "pending": 1}
    text = default_storage.size(ready.text_key(1))
    assert (counted["objects"], counted["bytes"]) == (3, ready.size + pending.size + text)
    found = {name: counted[name]["found"] for name in inventory.TALLIES}
    assert found == {"files": 2, "texts": 1, "passages": 1, "points": 1}
    assert {name: counted[name]["missing"] for name in inventory.TALLIES} == dict.fromkeys(found, 0)


def test_the_table_shows_the_manifest_beside_what_is_here(
    make_ready: MakeDocument, manifest: Callable[[], Path]
) -> None:
    make_ready()
    before = manifest()
    make_ready("later.md")
    lines = said("--compare", str(before)).splitlines()
    assert lines[0].split() == ["here", "manifest"]
    assert ["files", "2", "1"] in [line.split() for line in lines]
    assert lines[-1] == "All is there."


def test_a_manifest_can_come_by_a_pipe(
    make_ready: MakeDocument, manifest: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of root's, which the user of the processes may not read."""
    make_ready()
    with manifest().open() as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        assert "All is there." in said("--compare", "-")


def test_what_happens_after_the_manifest_is_no_loss(
    make_ready: MakeDocument,
    make_document: MakeDocument,
    editor: User,
    manifest: Callable[[], Path],
) -> None:
    """The dump is taken later; and documents are purged as soon as the restored product runs."""
    kept, deleted, back, pending = (make_ready(f"{n}.md") for n in range(4))
    lifecycle.soft_delete(back.pk, editor)
    pending = make_document("pending.md")
    before = manifest()
    make_ready("new.md")
    process(pending)
    lifecycle.requeue(kept.pk)
    process(kept)
    lifecycle.restore(back.pk, editor)
    lifecycle.soft_delete(deleted.pk, editor)
    purge(deleted)
    assert "All is there." in said("--compare", str(before))


def purge(document: Document) -> None:
    Document.objects.filter(pk=document.pk).update(deleted_at=Now() - timedelta(days=2))
    assert lifecycle.begin_purge(document.pk)
    for name in ("original", "text-1"):
        default_storage.delete(f"{document.storage_prefix}/{name}")
    vectors.delete(document.pk)
    assert lifecycle.finish_purge(document.pk)


def without_row(document: Document) -> None:
    Document.objects.filter(pk=document.pk).delete()


def with_another_name(document: Document) -> None:
    Document.objects.filter(pk=document.pk).update(filename="other.md")


def without_file(document: Document) -> None:
    default_storage.delete(document.storage_key)


def with_half_a_file(document: Document) -> None:
    path = Path(default_storage.path(document.storage_key))
    path.write_bytes(path.read_bytes()[:10])


def without_text(document: Document) -> None:
    default_storage.delete(document.text_key(1))


def without_passage(document: Document) -> None:
    Chunk.objects.filter(document=document).delete()


def without_points(document: Document) -> None:
    vectors.delete(document.pk)


@pytest.mark.parametrize(
    ("lose", "says"),
    [
        (without_row, "documents: 1 of 2"),
        (with_another_name, "documents: they are not the same ones"),
        (without_file, "files: 1"),
        (with_half_a_file, "files: 1"),
        (without_text, "texts: 1"),
        (without_passage, "passages: 1"),
        (without_points, "points: 1"),
    ],
)
def test_what_is_missing_is_said(
    lose: Callable[[Document], None],
    says: str,
    make_ready: MakeDocument,
    manifest: Callable[[], Path],
) -> None:
    make_ready("other-one.md")
    document = make_ready()
    before = manifest()
    assert "All is there." in said("--compare", str(before))
    lose(document)
    complained = complaint(before)
    assert says in complained
    if says.endswith(": 1"):
        assert str(document.pk) in complained


def test_a_part_of_a_text_that_is_missing_is_said(
    make_ready: MakeDocument, manifest: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "PART_CHARS", 10)
    document = make_ready()
    before = manifest()
    assert "All is there." in said("--compare", str(before))
    default_storage.delete(f"{document.storage_prefix}/text-1-2")
    assert "texts: 1" in complaint(before)


def test_what_was_missing_before_the_backup_is_not_the_restores_fault(
    make_ready: MakeDocument, manifest: Callable[[], Path]
) -> None:
    without_file(make_ready())
    assert "All is there." in said("--compare", str(manifest()))


def test_a_file_of_the_same_length_is_told_apart_by_its_checksum_only(
    make_ready: MakeDocument, manifest: Callable[[], Path]
) -> None:
    document = make_ready()
    before = manifest()
    assert "All is there." in said("--compare", str(before), "--checksums")
    Path(default_storage.path(document.storage_key)).write_bytes(b"x" * document.size)
    assert "All is there." in said("--compare", str(before))
    assert "files: 1" in complaint(before, "--checksums")


def test_without_an_answer_there_is_no_inventory(
    make_ready: MakeDocument, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ready()
    url = settings.QDRANT_URL
    settings.QDRANT_URL = refused_url()
    vectors._client.cache_clear()
    with pytest.raises(CommandError, match="Cannot tell: vectors"):
        said()
    settings.QDRANT_URL = url
    vectors._client.cache_clear()

    def breaks_off(storage: FileStorage, after: str = "") -> Any:
        yield from ()
        raise PermissionError("Permission denied")

    monkeypatch.setattr(FileStorage, "scan", breaks_off)
    with pytest.raises(CommandError, match="Cannot tell: Permission denied"):
        said()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"as_of": "yesterday"}'])
def test_what_is_no_manifest_is_refused(text: str, tmp_path: Path, db: None) -> None:
    path = tmp_path / "inventory.json"
    path.write_text(text)
    assert "is no manifest" in complaint(path)
    assert "is no manifest" in complaint(tmp_path / "nowhere")


@pytest.mark.django_db(transaction=True)
def test_no_connection_is_held_while_the_stores_are_asked(
    make_ready: MakeDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ready()
    held = {}
    counts, scan, read = vectors.counts, FileStorage.scan, FileStorage.open

    def watch(name: str, call: Callable[[], Any]) -> Any:
        held[name] = held.get(name, False) or connection.connection is not None
        return call()

    monkeypatch.setattr(vectors, "counts", lambda each: watch("index", lambda: counts(each)))
    monkeypatch.setattr(
        FileStorage,
        "open",
        lambda storage, name: watch("file", lambda: read(storage, name)),
    )

    def watched_scan(storage: FileStorage, after: str = "") -> Any:
        for each in scan(storage, after):
            yield watch("scan", lambda: each)  # noqa: B023 (called here)

    monkeypatch.setattr(FileStorage, "scan", watched_scan)
    said("--checksums")
    assert held == dict.fromkeys(["index", "scan", "file"], False)


def test_a_knowledge_base_that_was_deleted_since_is_no_loss(
    make_ready: MakeDocument, editor: User, manifest: Callable[[], Path]
) -> None:
    make_ready()
    other = KnowledgeBase.objects.create(name="Other")
    gone = make_ready("other.md", knowledge_base=other)
    tombstone = make_ready("purged.md")
    lifecycle.soft_delete(tombstone.pk, editor)
    purge(tombstone)
    before = manifest()
    removal.begin(other, editor)
    removal.carry_out_slice()
    assert "All is there." in said("--compare", str(before))
    purge(gone)
    counts.add_up()
    while removal.carry_out_slice():
        counts.add_up()
    assert not KnowledgeBase.with_deleted.filter(pk=other.pk).exists()
    Document.objects.filter(pk=tombstone.pk).delete()  # after HISTORY_DAYS
    assert "All is there." in said("--compare", str(before))


def test_a_knowledge_base_that_nobody_has_deleted_is_missed(
    make_ready: MakeDocument, manifest: Callable[[], Path]
) -> None:
    make_ready()
    other = KnowledgeBase.objects.create(name="Other")
    before = manifest()
    other.delete()
    assert "knowledge bases: 1 of 2" in complaint(before)
