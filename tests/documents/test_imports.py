"""Folders become documents: each file once, however often it is begun."""

import errno
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db.models.functions import Now

from documents import imports, lifecycle, uploads
from documents.imports import Import, Watch
from documents.models import Document, KnowledgeBase, Membership, OutboxMessage

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tree of files that can be read, and some that cannot."""
    root = tmp_path / "files"
    (root / "2024" / "May").mkdir(parents=True)
    for n in range(5):
        (root / f"{n}.md").write_text(f"# Note {n}\n")
    (root / "2024" / "report.md").write_text("# Report\n")
    (root / "2024" / "May" / "report.md").write_text("# Report of May\n")
    (root / ".hidden.md").write_text("# Hidden\n")
    return root


def run(*arguments: Any) -> tuple[list[dict[str, str]], int]:
    """Each file's outcome, and the exit status."""
    out, status = StringIO(), 0
    try:
        call_command("import_documents", *map(str, arguments), "--json", stdout=out)
    except SystemExit as ended:
        status = int(ended.code or 0)
    return [json.loads(line) for line in out.getvalue().splitlines()], status


def became(outcomes: list[dict[str, str]]) -> Counter[str]:
    return Counter(each["what"] for each in outcomes)


def live() -> set[str]:
    return set(Document.objects.live().values_list("filename", flat=True))


NAMES = {*(f"{n}.md" for n in range(5)), "2024 - report.md", "2024 - May - report.md"}


def test_a_tree_comes_in_with_its_folders_in_the_names_in_bulk_and_in_a_persons_name(
    folder: Path, knowledge_base: KnowledgeBase, editor: User
) -> None:
    outcomes, status = run("handbook", folder, "--as", "edith")
    assert (became(outcomes), status) == ({"imported": 7}, 0)
    assert live() == NAMES
    message = OutboxMessage.objects.first()
    assert message
    assert (message.priority, message.person) == (OutboxMessage.Priority.BULK, editor.pk)
    document = Document.objects.get(filename="1.md")
    assert document.uploaded_by == editor
    event = document.events.get()
    assert (event.kind, event.detail) == ("registered", f"imported from {folder}")


def test_the_second_time_nothing_is_done(folder: Path, knowledge_base: KnowledgeBase) -> None:
    run("handbook", folder)
    outcomes, status = run("handbook", folder)
    assert (became(outcomes), status) == ({"unchanged": 7}, 0)
    assert Document.objects.count() == 7


def test_killed_in_the_midst_it_goes_on_and_each_file_is_there_once(
    folder: Path, knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    accept, accepted = uploads.accept, []

    def kill_twice(*args: Any, **kwargs: Any) -> Document:
        accepted.append(accept(*args, **kwargs))
        if len(accepted) in (2, 4):
            raise Killed
        return accepted[-1]

    monkeypatch.setattr(uploads, "accept", kill_twice)
    for _ in range(2):
        with pytest.raises(Killed):
            run("handbook", folder)
    outcomes, _ = run("handbook", folder)
    assert became(outcomes) == {"unchanged": 4, "imported": 3}
    assert live() == NAMES
    assert Document.objects.count() == 7


@pytest.mark.parametrize(
    ("on_duplicate", "what", "status"),
    [("skip", "skipped", 0), ("replace", "replaced", 0), ("fail", "refused", 1)],
)
def test_where_a_document_of_another_has_the_name_it_is_as_one_has_asked(
    on_duplicate: str, what: str, status: int, folder: Path, make_document: MakeDocument
) -> None:
    other = make_document("1.md", b"# Something else\n")
    outcomes, ended = run("handbook", folder, "--on-duplicate", on_duplicate)
    assert (became(outcomes)[what], ended) == (1, status)
    other.refresh_from_db()
    assert bool(other.deleted_at) == (what == "replaced")


def test_what_it_has_imported_itself_is_replaced_when_it_has_changed(
    folder: Path, knowledge_base: KnowledgeBase
) -> None:
    run("handbook", folder)
    (folder / "1.md").write_text("# Changed\n")
    outcomes, _ = run("handbook", folder)
    assert became(outcomes) == {"unchanged": 6, "replaced": 1}
    assert live() == NAMES


def test_a_file_that_cannot_be_taken_says_why_and_hinders_no_other(
    folder: Path, knowledge_base: KnowledgeBase, settings: Any
) -> None:
    settings.UPLOAD_MAX_BYTES = 50
    (folder / "empty.md").touch()
    (folder / "program.exe").write_bytes(b"MZ")
    (folder / "large.md").write_text("x" * 51)
    (folder / "gone.md").symlink_to(folder / "nowhere.md")
    for options in ((), ("--dry-run",)):
        outcomes, status = run("handbook", folder, *options)
        refused = {each["filename"]: each["why"] for each in outcomes if each["what"] == "refused"}
        assert refused.keys() == {"empty.md", "program.exe", "large.md", "gone.md"}
        assert all(refused.values())
        assert status == 1
    assert live() == NAMES


def test_a_link_out_of_the_folder_is_refused_and_one_within_it_is_not(
    folder: Path, knowledge_base: KnowledgeBase
) -> None:
    secret = folder.with_name("files.env")  # which begins as the folder does
    secret.write_text("SECRET_KEY=1\n")
    (folder / "notes.txt").symlink_to("../files.env")
    (folder / "2024" / "by way of another.txt").symlink_to(folder / "notes.txt")
    (folder / "loop.txt").symlink_to("loop.txt")
    (folder / "within.md").symlink_to("2024/report.md")
    for options in (["--dry-run"], []):
        outcomes, status = run("handbook", folder, *options)
        refused = {each["filename"]: each["code"] for each in outcomes if each["what"] == "refused"}
        assert refused == {
            "notes.txt": "outside",
            "2024 - by way of another.txt": "outside",
            "loop.txt": "unreadable",
        }
        assert imports.OUTSIDE in {each["why"] for each in outcomes}
        assert status == 1
    assert live() == NAMES | {"within.md"}


def test_what_the_operator_names_is_taken_though_it_is_a_link(
    folder: Path, knowledge_base: KnowledgeBase
) -> None:
    link, report = folder.with_name("link"), folder.with_name("report of today.md")
    link.symlink_to(folder)
    report.symlink_to(folder / "2024" / "report.md")
    assert run("handbook", link)[1] == run("handbook", report)[1] == 0
    assert live() == NAMES | {"report.md"}
    watch = Watch(Import(link, knowledge_base), is_mirror=True)
    (folder / "within.md").symlink_to(folder / "1.md")
    look(watch)
    assert look(watch)["imported"] == 1


@pytest.mark.parametrize(
    ("one", "other"), [("2024 - report.md", "2024/report.md"), ("e\u0301.md", "\u00e9.md")]
)
def test_of_two_files_of_the_same_name_the_first_is_taken_however_often_it_is_begun(
    one: str, other: str, folder: Path, knowledge_base: KnowledgeBase
) -> None:
    (folder / one).write_text("# One\n")
    (folder / other).write_text("# Other\n")
    seen = []
    for _ in range(2):
        outcomes, status = run("handbook", folder)
        [refused] = [each for each in outcomes if each["what"] == "refused"]
        assert refused["path"] == str(folder / other)
        assert (refused["code"], status) == ("same_name", 1)
        assert str(folder / one) in refused["why"]
        seen.append(set(Document.objects.live().values_list("pk", flat=True)))
    assert seen[0] == seen[1]


def test_a_folder_that_cannot_be_listed_is_in_the_report(
    folder: Path, knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_listing(folder / "2024" / "May", monkeypatch)
    outcomes, status = run("handbook", folder)
    [refused] = [each for each in outcomes if each["what"] == "refused"]
    assert refused["path"] == str(folder / "2024" / "May")
    assert (refused["why"], status) == ("It cannot be read (Input/output error).", 1)


def without_listing(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int = errno.EIO) -> None:
    scandir = os.scandir

    def fail(path: Any) -> Any:
        if Path(path) == folder:
            raise OSError(number, os.strerror(number), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fail)


def test_a_name_that_is_no_text_is_told_as_text(
    tmp_path: Path, knowledge_base: KnowledgeBase
) -> None:
    """As a disk of before UTF-8 has it; a terminal takes nothing else than UTF-8."""
    root = Path(os.fsdecode(bytes(tmp_path) + b"/gar\xe7on"))
    root.mkdir()
    for name in (b"caf\xe9.md", b"caf\xe8.md", b"caf\xe9.exe"):
        Path(os.fsdecode(bytes(root) + b"/" + name)).write_bytes(b"# Coffee\n")
    outcomes, _ = run("handbook", root)
    told = {each["path"].rpartition("/")[2]: (each["what"], each["code"]) for each in outcomes}
    assert told == {
        "caf\\xe8.md": ("imported", ""),
        "caf\\xe9.md": ("refused", "same_name"),
        "caf\\xe9.exe": ("refused", "unsupported_type"),
    }
    assert all(line.encode() for each in outcomes for line in each.values() if line)
    assert Document.objects.get().events.get().detail.endswith("/gar\\xe7on")
    assert became(run("handbook", root)[0]) == {"unchanged": 1, "refused": 2}


def test_each_line_of_the_report_is_there_at_once(
    folder: Path, knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pipe(StringIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed = self.getvalue().count("\n")

    pipe, seen, accept = Pipe(), [], uploads.accept

    def look(*args: Any, **kwargs: Any) -> Document:
        seen.append(pipe.flushed)
        return accept(*args, **kwargs)

    monkeypatch.setattr(uploads, "accept", look)
    call_command("import_documents", "handbook", str(folder), "--json", stdout=pipe)
    assert seen == list(range(7))


def test_a_dry_run_changes_nothing(folder: Path, make_document: MakeDocument) -> None:
    make_document("1.md", b"# Something else\n")
    outcomes, _ = run("handbook", folder, "--dry-run", "--on-duplicate", "replace")
    assert became(outcomes) == {"imported": 6, "replaced": 1}
    assert live() == {"1.md"}


def test_who_may_not_edit_imports_nothing(
    folder: Path, knowledge_base: KnowledgeBase, make_user: Callable[..., User]
) -> None:
    make_user("sam")
    refused = [
        ("handbook", folder, "--as", "sam"),
        ("nowhere", folder),
        ("handbook", folder / "nowhere"),
        ("handbook", folder, "--mirror"),
    ]
    for arguments in refused:
        with pytest.raises(CommandError):
            run(*arguments)
    assert not live()


@pytest.mark.timeout(60)
def test_a_pipe_is_no_file_and_nobody_waits_for_it(
    folder: Path, knowledge_base: KnowledgeBase
) -> None:
    os.mkfifo(folder / "0.txt")
    os.mkfifo(folder / "pipe.md")
    for arguments in (["--dry-run"], []):
        outcomes, status = run("handbook", folder, *arguments)
        assert became(outcomes) == {"imported": 7, "refused": 2}
        assert status == 1
    assert {each["why"] for each in outcomes if each["what"] == "refused"} == {imports.SPECIAL}


def test_what_another_import_has_just_stored_is_unchanged(
    folder: Path, knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("handbook", folder)
    monkeypatch.setattr(imports.Import, "_known", lambda self, sources: {})  # as it was before
    outcomes, status = run("handbook", folder)
    assert (became(outcomes), status) == ({"unchanged": 7}, 0)


def test_who_knows_only_a_name_is_told_the_slug(folder: Path) -> None:
    base = KnowledgeBase.objects.create(name="Annual Reports")
    with pytest.raises(CommandError, match=f"\n  {base.slug}  .Annual Reports."):
        run("reports", folder)


# --- Watching ------------------------------------------------------------------------------------


def look(watch: Watch) -> Counter[str]:
    return Counter(outcome.what for outcome in watch.look())


def test_a_file_is_taken_when_it_has_stayed_as_it_is(
    folder: Path, knowledge_base: KnowledgeBase
) -> None:
    watch = Watch(Import(folder, knowledge_base), is_mirror=False)
    assert look(watch) == {}
    with (folder / "1.md").open("a") as file:
        file.write("and more")
    assert look(watch) == {"imported": 6}
    assert look(watch) == {"imported": 1}
    assert look(watch) == {}


def test_only_a_mirror_deletes_and_only_what_it_has_imported(
    folder: Path, make_document: MakeDocument, knowledge_base: KnowledgeBase
) -> None:
    make_document("by-hand.md")
    for is_mirror in (False, True):
        watch = Watch(Import(folder, knowledge_base), is_mirror)
        look(watch), look(watch)
        (folder / "0.md").unlink(missing_ok=True)
        look(watch)
        assert ("0.md" in live()) == (not is_mirror)
    assert "by-hand.md" in live()


def test_a_mirror_leaves_what_people_have_renamed_or_moved_here(
    folder: Path, knowledge_base: KnowledgeBase, editor: User
) -> None:
    other = KnowledgeBase.objects.create(name="Other")
    (folder / "moved.md").write_text("# Moved\n")
    run(other.slug, folder)
    (folder / "moved.md").unlink()
    run("handbook", folder)
    lifecycle.move(other.document_set.get(filename="moved.md").pk, knowledge_base.pk, editor)
    uploads.rename(knowledge_base.document_set.get(filename="1.md"), editor, "A guide.md")
    (folder / "0.md").unlink()
    watch = Watch(Import(folder, knowledge_base), is_mirror=True)
    assert look(watch) == {"deleted": 1}
    there = set(knowledge_base.document_set.live().values_list("filename", flat=True))
    assert there == NAMES - {"0.md", "1.md"} | {"A guide.md", "moved.md"}


def test_a_folder_that_is_gone_as_a_whole_deletes_nothing(
    folder: Path, knowledge_base: KnowledgeBase
) -> None:
    """Most likely it is not mounted."""
    watch = Watch(Import(folder, knowledge_base), is_mirror=True)
    look(watch), look(watch)
    folder.rename(folder.with_name("elsewhere"))
    assert look(watch) == {}
    assert live() == NAMES


def test_a_folder_that_is_empty_deletes_nothing_and_that_is_said_once(
    folder: Path, knowledge_base: KnowledgeBase
) -> None:
    """Most likely nothing is mounted there."""
    watch = Watch(Import(folder, knowledge_base), is_mirror=True)
    look(watch), look(watch)
    folder.rename(folder.with_name("elsewhere"))
    folder.mkdir()
    assert [outcome.why for outcome in watch.look()] == [imports.EMPTY]
    assert look(watch) == {}
    assert live() == NAMES
    folder.rmdir()
    folder.with_name("elsewhere").rename(folder)
    assert look(watch) == {}


def test_a_folder_that_goes_while_it_is_looked_at_deletes_nothing(
    folder: Path, knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(Import(folder, knowledge_base), is_mirror=True)
    look(watch), look(watch)
    without_listing(folder, monkeypatch, errno.ENOENT)  # it is there again in a moment
    look(watch)
    assert live() == NAMES


def test_a_part_of_the_folder_that_cannot_be_read_now_deletes_nothing(
    folder: Path, knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(Import(folder, knowledge_base), is_mirror=True)
    look(watch), look(watch)
    with monkeypatch.context() as patch:
        without_listing(folder / "2024", patch)
        (folder / "0.md").unlink()
        assert look(watch) == {}, "it is told of when it has stayed so"
        assert look(watch) == {"refused": 1}
        assert look(watch) == {}, "it is told once"
        assert live() == NAMES
    assert look(watch) == {"deleted": 1}
    assert live() == NAMES - {"0.md"}


def test_a_file_that_cannot_be_read_now_is_not_gone_and_is_taken_later(
    folder: Path, knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(Import(folder, knowledge_base), is_mirror=True)
    look(watch), look(watch)
    stat = Path.stat

    def fail(path: Path, **options: Any) -> Any:
        if path.name == "1.md":
            raise OSError(13, os.strerror(13))
        return stat(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", fail)
        look(watch), look(watch)
        assert live() == NAMES


def test_what_a_limit_refuses_is_told_once_and_taken_as_soon_as_there_is_room(
    folder: Path, knowledge_base: KnowledgeBase, settings: Any
) -> None:
    settings.KNOWLEDGE_BASE_LIMITS = {"documents": 5}
    (folder / "program.exe").write_bytes(b"MZ")
    watch = Watch(Import(folder, knowledge_base), is_mirror=False)
    look(watch)
    assert look(watch) == {"imported": 5, "refused": 3}
    assert look(watch) == {}
    settings.KNOWLEDGE_BASE_LIMITS = {}
    assert look(watch) == {"imported": 2}
    assert live() == NAMES


def test_of_two_files_of_the_same_name_the_second_comes_when_the_first_is_gone(
    folder: Path, knowledge_base: KnowledgeBase
) -> None:
    (folder / "2024 - report.md").write_text("# The first\n")
    watch = Watch(Import(folder, knowledge_base), is_mirror=True)
    look(watch)
    assert look(watch) == {"imported": 7, "refused": 1}
    (folder / "2024 - report.md").unlink()
    look(watch)
    assert look(watch) == {"replaced": 1}
    stored = Document.objects.live().get(filename="2024 - report.md")
    assert stored.sha256 == imports._sha256(folder / "2024" / "report.md")


def test_a_look_at_what_is_as_it_was_asks_the_database_nothing(
    folder: Path, knowledge_base: KnowledgeBase, django_assert_num_queries: Any
) -> None:
    watch = Watch(Import(folder, knowledge_base), is_mirror=True)
    look(watch), look(watch)
    with django_assert_num_queries(0):
        assert look(watch) == {}


def test_a_database_that_is_away_does_not_end_the_watch(
    folder: Path, knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, original = [], Watch.look

    def look(watch: Watch) -> Any:
        looks.append(watch)
        if len(looks) == 2:
            raise OperationalError("the connection is lost")
        if len(looks) == 4:
            raise KeyboardInterrupt
        return original(watch)

    monkeypatch.setattr(Watch, "look", look)
    outcomes, status = run("handbook", folder, "--watch", "--every", "0")
    assert (became(outcomes), status) == ({"imported": 7}, 0)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("deleted", "The knowledge base “Handbook” has been deleted."),
        ("inactive", "“edith” may no longer add documents to “Handbook”."),
        ("gone", "“edith” may no longer add documents to “Handbook”."),
        ("viewer", "“edith” may no longer add documents to “Handbook”."),
    ],
)
def test_a_watch_ends_when_it_may_no_longer_do_its_work(
    change: str,
    why: str,
    folder: Path,
    knowledge_base: KnowledgeBase,
    editor: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes: dict[str, Callable[[], Any]] = {
        "deleted": lambda: KnowledgeBase.objects.update(deleted_at=Now()),
        "inactive": lambda: User.objects.update(is_active=False),
        "gone": lambda: editor.delete(),
        "viewer": lambda: Membership.objects.update(role=Membership.Role.VIEWER),
    }
    looks, original = [], Watch.look

    def look(watch: Watch) -> Any:
        looks.append(watch)
        if len(looks) == 1:
            changes[change]()
        elif len(looks) == 3:
            raise KeyboardInterrupt
        return original(watch)

    monkeypatch.setattr(Watch, "look", look)
    with pytest.raises(CommandError) as ended:
        run("handbook", folder, "--as", "edith", "--watch", "--every", "0")
    assert (str(ended.value), ended.value.returncode) == (why, 1)
    assert len(looks) == 1
    assert not live()


def test_a_watch_tells_people_of_each_file_as_well(
    folder: Path, knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, original, out = [], Watch.look, StringIO()

    def look(watch: Watch) -> Any:
        looks.append(watch)
        if len(looks) == 4:
            raise KeyboardInterrupt
        return original(watch)

    monkeypatch.setattr(Watch, "look", look)
    call_command("import_documents", "handbook", folder, "--watch", "--every", "0", stdout=out)
    told = out.getvalue().splitlines()
    assert len(told) == 7
    assert f"imported: {folder}/1.md" in told


def test_the_report_has_the_names_that_the_documents_have(
    folder: Path, knowledge_base: KnowledgeBase
) -> None:
    (folder / "two  spaces\u200b.md").write_text("# Spaces\n")
    for _ in ("imported", "unchanged"):
        outcomes, _ = run("handbook", folder)
        assert {each["filename"] for each in outcomes} == live()


def test_after_a_hundred_changes_a_mirror_is_as_its_folder(
    folder: Path, knowledge_base: KnowledgeBase
) -> None:
    chance = random.Random(1)
    watch = Watch(Import(folder, knowledge_base), is_mirror=True)
    names = [f"{n}.md" for n in range(20)]
    for step in range(100):
        path = folder / chance.choice(names)
        if chance.random() < 0.3:
            path.unlink(missing_ok=True)
        else:
            path.write_text(f"# Step {step}\n")
        if step % 7 == 0:
            look(watch)
    look(watch), look(watch)
    expected = {
        source.filename: imports._sha256(source.path)
        for source in Import(folder, knowledge_base).sources()
    }
    stored = dict(Document.objects.live().values_list("filename", "sha256"))
    assert stored == expected
