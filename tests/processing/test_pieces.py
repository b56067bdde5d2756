"""A long file is read piece by piece: no piece is lost with a parser that dies, nor read twice."""

import io
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now

from documents import kept
from documents.models import Chunk, Document, TextPart
from processing import heartbeat
from processing.errors import PermanentError, RetryableError
from processing.index import embeddings
from processing.parsing import Passed, Piece, child, compact, draft, merged, parse, pieces, sandbox
from processing.parsing.client import ForkServer
from processing.parsing.model import Limits
from tests.conftest import process

from . import files, pdfs, scans
from .stubs import embedding_stub, good_embeddings
from .test_parsing_sandbox import parsers
from .test_pipeline import assert_exact
from .test_turns import die_after, killed

MakeDocument = Callable[..., Document]

SENTENCE = "The heron of part {} stands in the reeds and waits. "
PARTS = [f"Part {n}: " + SENTENCE.format(n) * 6 for n in range(40)]
LETTER = """From: ada@example.org
Subject: {subject}
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="x"

--x
Content-Type: text/plain

{text}
"""
FILE = """--x
Content-Type: text/{kind}; name="{name}"
Content-Disposition: attachment

{text}
"""


def letter(subject: str, text: str, *attached: tuple[str, str, str]) -> str:
    """`attached`: (kind, name, text) of each."""
    files = (FILE.format(kind=kind, name=name, text=text) for kind, name, text in attached)
    return LETTER.format(subject=subject, text=text) + "".join(files) + "--x--\n"


ATTACHED = [("plain", f"note {n}.txt", part) for n, part in enumerate(PARTS)]
MAILBOX = "\n".join(
    "From ada@example.org Mon Nov  2 10:00:00 2026\n"
    + letter(f"Letter {n}", part, ("plain", "more.txt", part * 4), ("plain", "end.txt", "The end."))
    for n, part in enumerate(PARTS[:12])
)

LONG = {
    files.TEXT: "\n\n".join(PARTS).encode(),
    files.MARKDOWN: "\n\n".join(f"# Part {n}\n\n{part}" for n, part in enumerate(PARTS)).encode(),
    files.CSV: "".join(["name,born\n", *(f"Ada {n},{n}\n" for n in range(900))]).encode(),
    files.HTML: "".join(f"<h1>Part {n}</h1><p>{part}</p>" for n, part in enumerate(PARTS)).encode(),
    files.PDF: files.pdf(PARTS, [(f"Part {n}", n) for n in range(40)]),
    files.PPTX: files.pptx([(f"Part {n}", part, "") for n, part in enumerate(PARTS)]),
    files.XLSX: files.xlsx({"People": [["name", "born"], *([f"Ada {n}", n] for n in range(900))]}),
    files.DOCX: files.docx([(f"Heading {1}", part) for part in PARTS]),
    files.EPUB: files.epub([f"<h1>Part {n}</h1><p>{part}</p>" for n, part in enumerate(PARTS)]),
    files.EML: letter(
        "Notes", SENTENCE, *ATTACHED, ("plain", "long.txt", "\n\n".join(PARTS))
    ).encode(),
    files.MBOX: MAILBOX.encode(),
}


@pytest.fixture(autouse=True, scope="module")
def _imported() -> None:
    """What takes seconds, before the first lease begins."""
    embeddings.warm_up()


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process."""
    monkeypatch.setattr(draft, "PIECE_CHARS", 1000)
    monkeypatch.setattr("processing.parsing.tables.PIECE_CHARS", 1000)


def read(
    data: bytes, content_type: str, start: int = 1, chars: int = 0, **options: Any
) -> list[Piece]:
    """As a child does it."""
    stream = io.BytesIO()
    child.hand_over(io.BytesIO(data), content_type, stream, start=start, chars=chars, **options)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert not [line for line in lines if "error" in line]
    reading = sandbox._Reading(Path(), content_type, start, chars, [], Limits(), 60, 2**30)
    return [reading._next(line) for line in lines if "text" in line]


# --- The pieces are the document -----------------------------------------------------------------


@pytest.mark.parametrize("content_type", LONG)
def test_the_pieces_together_are_the_document(content_type: str, small_pieces: None) -> None:
    data = LONG[content_type]
    whole: Any = child.answer(io.BytesIO(data), content_type)
    found = read(data, content_type)
    assert len(found) > 3
    assert max(len(piece.text) for piece in found) < 3000
    assert "".join(piece.text for piece in found) == whole["text"]
    chars, sections = 0, []
    for piece in found:
        sections += [astuple(section.moved(chars)) for section in piece.sections]
        chars += len(piece.text)
    assert sections == whole["sections"]
    assert [piece.unit for piece in found][-1] == 0


@pytest.mark.parametrize("content_type", LONG)
def test_another_process_goes_on_at_any_cut(content_type: str, small_pieces: None) -> None:
    found = read(LONG[content_type], content_type)
    chars = 0
    for number, piece in enumerate(found[:-1]):
        chars += len(piece.text)
        assert read(LONG[content_type], content_type, piece.unit, chars) == found[number + 1 :]


def test_a_page_that_is_there_already_is_not_read_again(
    small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from processing.parsing import pdf

    numbers, read_page = [], pdf._read_page
    monkeypatch.setattr(
        pdf, "_read_page", lambda *args: numbers.append(args[1]) or read_page(*args)
    )
    first, *_ = read(LONG[files.PDF], files.PDF)
    numbers.clear()
    read(LONG[files.PDF], files.PDF, first.unit, len(first.text))
    assert numbers == list(range(first.unit, 41))


@pytest.mark.parametrize("content_type", [files.PDF, "image/tiff"])
def test_a_recognised_page_waits_for_no_other_one(content_type: str) -> None:
    """Each takes a second or two: who is killed loses the one that was being read."""
    pages = [scans.page(f"{scans.ENGLISH}\n\nSheet {n}") for n in range(3)]
    made = scans.pdf if content_type == files.PDF else scans.tiff
    found = read(made(pages), content_type, limits=Limits(recognised_pages=3))
    assert [f"Sheet {n}" in piece.text for n, piece in enumerate(found)] == [True] * 3


@pytest.mark.parametrize("content_type", [files.EML, files.MBOX, files.PDF])
def test_a_part_that_is_there_already_is_not_read_again(
    content_type: str, small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from processing.parsing import embedded, mail

    data = LONG.get(content_type, b"")
    if content_type == files.PDF:
        data = pdfs.with_files({f"{n:02}.txt": part.encode() for n, part in enumerate(PARTS)})
    numbers: list[str] = []
    module, name = (mail, "_read_message") if content_type == files.MBOX else (embedded, "_read")
    reads = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args: numbers.append("one") or reads(*args))
    *before, last = read(data, content_type)
    count = len(numbers)
    numbers.clear()
    chars = sum(len(piece.text) for piece in before)
    assert read(data, content_type, before[-1].unit, chars) == [last]
    assert len(numbers) <= count / 5


def test_what_says_nothing_is_not_handed_over_before_something_does(small_pieces: None) -> None:
    dots = ". " * 3000
    pages = [dots, dots, dots]
    stream = io.BytesIO()
    child.hand_over(io.BytesIO(files.pdf(pages)), files.PDF, stream)
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line for line in said if "text" in line] == []
    assert said[-1]["error"][0] == "no_text"


def test_the_files_of_a_page_come_with_it(small_pieces: None) -> None:
    data = pdfs.with_files({"people.txt": b"Ada Lovelace"})
    assert "Ada Lovelace" in "".join(piece.text for piece in read(data, files.PDF))


def test_the_report_of_all_pieces_is_one() -> None:
    first = [Passed("image_page", page=1), Passed("image_page", page=2), Passed("picture")]
    second = [Passed("image_page", page=3), Passed("image_page", page=5), Passed("picture")]
    kept = compact([*compact(first), *second])
    assert merged(kept) == merged([*first, *second])
    assert len(kept) == 3


# --- Documents inside of a part ------------------------------------------------------------------


def with_attached(*attached: tuple[str, bytes], subject: str = "Scans") -> bytes:
    message = EmailMessage()
    message["From"], message["Subject"] = "ada@example.org", subject
    message.set_content("See below.")
    for name, content in attached:
        message.add_attachment(content, maintype="application", subtype="pdf", filename=name)
    return message.as_bytes()


PAGES_PDF = files.pdf(["\n".join([part] * 6) for part in PARTS[:12]])
INSIDE = {
    "a mail": (with_attached(("a.pdf", PAGES_PDF), ("b.pdf", PAGES_PDF)), files.EML, 24),
    "a mailbox": (
        b"".join(
            b"From ada@example.org Mon Nov  2 10:00:00 2026\n"
            + with_attached(("a.pdf", PAGES_PDF), ("b.txt", PARTS[n].encode()), subject=f"Nr {n}")
            + b"\n"
            for n in range(3)
        ),
        files.MBOX,
        36,
    ),
    "a PDF": (pdfs.with_files({"a.pdf": PAGES_PDF, "b.pdf": PAGES_PDF}), files.PDF, 25),
}


@pytest.mark.parametrize("name", INSIDE)
def test_no_page_of_a_document_inside_of_another_is_read_twice(
    name: str, small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from processing.parsing import pdf

    data, content_type, pages = INSIDE[name]
    numbers, read_page = [], pdf._read_page
    monkeypatch.setattr(
        pdf, "_read_page", lambda *args: numbers.append(args[1]) or read_page(*args)
    )
    whole: Any = child.answer(io.BytesIO(data), content_type)
    assert len(numbers) == pages
    found = read(data, content_type)
    assert "".join(piece.text for piece in found) == whole["text"]
    assert len(found) >= pages / 3
    sections, chars = [], 0
    for number, piece in enumerate(found):
        sections += [astuple(section.moved(chars)) for section in piece.sections]
        chars += len(piece.text)
        if not piece.unit:
            break
        numbers.clear()
        assert read(data, content_type, piece.unit, chars) == found[number + 1 :]
        assert len(numbers) <= pages - number, "those of the pieces that are there are not"
    assert sections == whole["sections"]


def test_all_pages_of_a_scan_that_is_attached_are_read_by_as_many_processes_as_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process has time for some pages."""
    scan = scans.pdf([scans.page(f"{scans.ENGLISH}\n\nSheet {n}") for n in range(8)])
    path = tmp_path / "document"
    path.write_bytes(with_attached(("scan.pdf", scan)))
    monkeypatch.setattr(sandbox, "MAX_CPU_SECONDS", 6)
    starts: list[int] = []
    start = ForkServer.start
    monkeypatch.setattr(
        ForkServer, "start", lambda *args: starts.append(args[1]["start"]) or start(*args)
    )
    parsed = parse(path, files.EML, limits=Limits(recognised_pages=10))
    assert len(set(starts)) == len(starts) > 1, "all read something"
    assert [parsed.text.count(f"Sheet {n}") for n in range(8)] == [1] * 8
    assert not parsed.unread
    assert {section.heading for section in parsed.sections if section.recognised} == {
        f"Scans > scan.pdf, page {n}" for n in range(1, 9)
    }


# --- One child after the other -------------------------------------------------------------------

PAGES = 30
KILL = "child.number == 1 and os.kill(os.getpid(), 9)"  # the first of them
SERVER = """
import os, time
from contextlib import nullcontext
from processing.parsing import child, draft, server
def spend(seconds):
    while time.process_time() < seconds: pass
{reader}
child.reader = lambda content_type: (read, "Nothing.")
server.preload = lambda: None
server.main()
"""
AT_20 = """
draft.PIECE_CHARS = 1000
def read(file, draft):
    for page in range(1, {pages} + 1):
        if draft.cut(f"page {{page}}"):
            draft.add(f"Page {{page}}. " + "word " * 300, page=page)
            if page == 20:
                {at_20}
child.number = 0
accept = server._accept
def counted(*args):
    child.number += 1
    return accept(*args)
server._accept = counted
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "long.pdf"
    path.write_bytes(b"%PDF")
    return path


@pytest.fixture
def two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the processor, for each child."""
    monkeypatch.setattr(sandbox, "MAX_CPU_SECONDS", 2)


@pytest.fixture
def parser_with(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes parsers read by this `read`."""
    made: list[ForkServer] = []

    def make(reader: str) -> None:
        made.append(ForkServer(("-c", SERVER.format(reader=reader))))
        monkeypatch.setattr(sandbox, "_fork_server", made[-1])

    yield make
    for server in made:
        if server._process:
            server._process.kill()


@pytest.fixture
def parser(parser_with: Callable[[str], None]) -> Callable[[str], None]:
    """Makes parsers do something at page 20; `child.number` counts them from 1."""
    return lambda at_20: parser_with(AT_20.format(pages=PAGES, at_20=at_20))


def test_a_piece_is_there_before_the_next_is_read(
    file: Path, parser: Callable[[str], None]
) -> None:
    parser("time.sleep(60)")
    reading = pieces(file, files.PDF)
    assert next(reading).unit == 2
    reading.close()


def collect(reading: Iterable[Piece], found: list[Piece]) -> None:
    """Those before an error, too."""
    for piece in reading:
        found.append(piece)


def test_a_parser_that_dies_loses_one_piece_and_says_where(
    file: Path, parser: Callable[[str], None]
) -> None:
    parser(KILL)
    found: list[Piece] = []
    places: list[str] = []
    with pytest.raises(RetryableError) as caught:
        collect(pieces(file, files.PDF, moved=places.append), found)
    assert (caught.value.code, caught.value.tries) == ("parser_died", 3)
    assert "broke off at page 20;" in caught.value.sentence
    start, chars = found[-1].unit, sum(len(piece.text) for piece in found)
    assert start >= 19
    rest = pieces(file, files.PDF, start=start, chars=chars, moved=places.append)
    assert parse(file, files.PDF).text == "".join(piece.text for piece in [*found, *rest])
    assert len(places) <= PAGES + 2


def test_the_parser_of_a_thousand_pages_that_is_killed_at_page_800_costs_a_piece(
    tmp_path: Path,
) -> None:
    page = "\n".join(f"Line {n} says that the heron waits in the reeds." for n in range(20))
    path = tmp_path / "long.pdf"
    path.write_bytes(files.pdf([f"Page {n}.\n{page}" for n in range(1, 1001)]))
    places: list[str] = []

    def kill(place: str) -> None:
        places.append(place)
        if place == "page 800":  # it may be some pages further by now
            [parser] = parsers()
            os.kill(parser, signal.SIGKILL)

    found: list[Piece] = []
    with pytest.raises(RetryableError) as caught:
        collect(pieces(path, files.PDF, moved=kill), found)
    assert f"broke off at {places[-1]};" in caught.value.sentence
    start, chars = found[-1].unit, sum(len(piece.text) for piece in found)
    again = len(places) - (start - 1)
    collect(pieces(path, files.PDF, start=start, chars=chars, moved=places.append), found)
    assert "".join(piece.text for piece in found) == parse(path, files.PDF).text
    assert found[-1].text.count("Page 1000.") == 1
    assert len(places) == 1000 + again, "all once, and the piece"
    assert again <= 100


def test_a_crash_behind_a_cut_may_be_tried_again(file: Path, parser: Callable[[str], None]) -> None:
    parser("os.abort()")
    with pytest.raises(RetryableError) as caught:
        parse(file, files.PDF)
    assert "broke off at page 20;" in caught.value.sentence


def test_a_child_that_has_used_up_its_time_is_followed_by_another(
    file: Path, parser: Callable[[str], None], two_seconds: None
) -> None:
    parser("spend(60 if child.number == 1 else 0)")
    places: list[str] = []
    found = list(pieces(file, files.PDF, timeout=300, moved=places.append))
    assert "Page 30." in found[-1].text
    assert len(places) == PAGES + 1, "page 20 twice"


def test_but_not_when_that_came_no_further(
    file: Path, parser: Callable[[str], None], two_seconds: None
) -> None:
    parser("spend(60)")
    with pytest.raises(PermanentError) as caught:
        parse(file, files.PDF, timeout=300)
    assert caught.value.code == "parser_timeout"
    assert "too long at page 20;" in caught.value.sentence


def test_a_child_stops_at_a_cut_before_it_has_used_up_its_time(
    file: Path, parser: Callable[[str], None], two_seconds: None
) -> None:
    parser("spend(1.2)")
    places: list[str] = []
    found = list(pieces(file, files.PDF, timeout=300, moved=places.append))
    assert [piece.place for piece in found].count("page 21") == 1
    assert places == [f"page {n}" for n in [*range(1, 22), *range(21, 31)]]


def test_memory_that_one_child_has_used_up_is_not_the_documents_fault(
    file: Path, parser: Callable[[str], None]
) -> None:
    parser("child.number == 1 and bytearray(600 * 1024**2)")
    assert "Page 30." in parse(file, files.PDF, memory_bytes=512 * 1024**2).text
    parser("bytearray(600 * 1024**2)")
    with pytest.raises(PermanentError) as caught:
        parse(file, files.PDF, memory_bytes=512 * 1024**2)
    assert caught.value.code == "too_large"


MESSAGES = """
{before}
def read(file, draft):
    draft.add("The head.")
    for number in range(1, 13):
        with draft.part(f"message {{number}}") as is_read:
            if is_read:
                draft.add(f"Message {{number}}. " + "word " * 300)
                for file in range({files}):
                    with draft.part(f"file {{file}} of message {{number}}") as is_read:
                        if is_read:
                            if number in {slow}:
                                {what}
                            draft.add(f"File {{number}}. " + "word " * 300)
                draft.add(f"Behind file {{number}}.")
"""


@pytest.mark.parametrize("before", ["", "draft.PIECE_CHARS = 1000"], ids=["", "small pieces"])
@pytest.mark.parametrize("what", ["spend(60)", "bytearray(600 * 1024**2)"])
def test_a_part_that_uses_up_a_child_by_itself_is_passed_over_and_said(
    what: str,
    before: str,
    file: Path,
    parser_with: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a part of it that is one itself, only that."""
    monkeypatch.setattr(sandbox, "MAX_CPU_SECONDS", 1)
    parser_with(MESSAGES.format(files=1, slow={4, 5}, what=what, before=before))
    found = list(pieces(file, files.EML, timeout=300, memory_bytes=512 * 1024**2))
    text = "".join(piece.text for piece in found)
    for number in range(1, 13):
        assert text.count(f"Message {number}. ") == 1
        assert text.count(f"Behind file {number}.") == 1
        assert text.count(f"File {number}. ") == (number not in {4, 5})
    passed = [(entry.kind, entry.place) for piece in found for entry in piece.passed]
    assert passed == [("slow_part", f"file 0 of message {n}") for n in (4, 5)]


PAGES_OF_FILES = """
{before}
def read(file, draft):
    draft.add("The head.")
    for number in range(1, 6):
        with draft.part(f"message {{number}}") if {in_mailbox} else nullcontext(True) as is_read:
            if not is_read:
                continue
            with draft.part(f"file {{number}}") as is_read:
                if is_read:
                    inner = draft.inside(f"file {{number}}", "page")
                    for page in range(1, 6):
                        if inner.cut(f"page {{page}}"):
                            if number in (2, 3) and page == 3:
                                spend(60)
                            inner.add(f"File {{number}} page {{page}}. " + "word " * 300, page=page)
                    draft.append(inner, f"file {{number}}", apart=not inner.is_taken)
            draft.add(f"Behind file {{number}}.")
"""


@pytest.mark.parametrize("in_mailbox", [False, True])
@pytest.mark.parametrize("before", ["", "draft.PIECE_CHARS = 1000"], ids=["", "small pieces"])
def test_the_pages_before_one_that_uses_up_a_child_stay(
    in_mailbox: bool,
    before: str,
    file: Path,
    parser_with: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandbox, "MAX_CPU_SECONDS", 1)
    parser_with(PAGES_OF_FILES.format(in_mailbox=in_mailbox, before=before))
    found = list(pieces(file, files.EML, timeout=300))
    text = "".join(piece.text for piece in found)
    for number in range(1, 6):
        assert text.count(f"Behind file {number}.") == 1
        pages = [page for page in range(1, 6) if f"File {number} page {page}. " in text]
        assert pages in ([[1, 2], []] if number in (2, 3) else [[1, 2, 3, 4, 5]])
        assert not (before and not pages), "what was handed over stays"
        for page in pages:
            assert text.count(f"File {number} page {page}. ") == 1
    passed = [(entry.kind, entry.place) for piece in found for entry in piece.passed]
    assert passed == [("slow_part", f"file {n}") for n in (2, 3)]


def test_but_not_very_many_in_a_row(
    file: Path, parser_with: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "MAX_PASSED_OVER", 2)
    monkeypatch.setattr(sandbox, "MAX_CPU_SECONDS", 1)
    parser_with(MESSAGES.format(files=3, slow={4}, what="spend(60)", before=""))
    with pytest.raises(PermanentError) as caught:
        parse(file, files.EML, timeout=300)
    assert "too long at file 2 of message 4;" in caught.value.sentence


# --- Kept by the worker --------------------------------------------------------------------------


@pytest.fixture
def long(make_document: MakeDocument, settings: Any) -> Iterator[Document]:
    """PAGES pages, two passages each."""
    with embedding_stub(settings, good_embeddings):
        yield make_document("long.pdf", b"%PDF", files.PDF)


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where the work was, one after the other."""
    found: list[str] = []
    moved = heartbeat.Lease.moved

    def noted(lease: heartbeat.Lease, place: str = "") -> None:
        if place.startswith("page"):
            found.append(place)
        moved(lease, place)

    monkeypatch.setattr(heartbeat.Lease, "moved", noted)
    return found


@pytest.mark.django_db
def test_a_parser_that_dies_once_costs_one_piece(
    long: Document, parser: Callable[[str], None], places: list[str]
) -> None:
    parser(KILL)
    process(long)
    assert (long.status, long.kept_unit) == ("pending", 20)
    assert long.waiting_for.startswith("Reading this document broke off at page 20;")
    Document.objects.update(due_at=Now())
    process(long)
    assert_exact(long)
    assert len(set(places)) == PAGES
    assert Counter(places)["page 19"] == 2, "once by the parser, once by the bar"
    assert list(long.events.values_list("kind", flat=True)) == [
        "registered", "claimed", "retried", "claimed", "succeeded",
    ]  # fmt: skip


@pytest.mark.django_db
def test_a_parser_that_dies_at_one_place_three_times_ends_the_document_which_says_where(
    long: Document, parser: Callable[[str], None]
) -> None:
    parser("os.kill(os.getpid(), 9)")
    for _ in range(3):
        assert long.status == "pending"
        Document.objects.update(due_at=Now())
        process(long)
    assert (long.status, long.failure_code) == ("failed", "parser_died")
    assert "broke off at page 20;" in long.failure_message


@pytest.mark.django_db
def test_turn_by_turn_no_page_is_read_twice(
    long: Document, parser: Callable[[str], None], places: list[str], settings: Any
) -> None:
    settings.TURN = timedelta(0)
    parser("pass")
    for _ in range(100):
        if process(long).status != "pending":
            break
    chunks = assert_exact(long)
    assert long.attempts == 1
    assert list(long.events.values_list("kind", flat=True)) == [
        "registered", "claimed", "succeeded",
    ]  # fmt: skip
    assert [chunk.start for chunk in chunks] == sorted(chunk.start for chunk in chunks)
    assert TextPart.objects.count() == PAGES


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["worker.piece_read", "worker.text_stored", "worker.text_kept"])
def test_a_worker_may_be_killed_at_any_piece(
    name: str, long: Document, parser: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    parser("pass")
    for times in (5, 1, 12):
        die_after(monkeypatch, name, times)
        killed(long)
    process(long)
    assert_exact(long)
    assert long.deaths == 3
    assert Chunk.objects.count() == long.chunk_count


@pytest.mark.django_db
def test_the_worker_holds_no_more_than_a_piece(
    long: Document, parser: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    parser("pass")
    most: list[int] = []
    add = kept.add

    def seen(claim: Any, reading: int, parts: Any, chunks: Any) -> bool:
        most.append(len(chunks))
        return add(claim, reading, parts, chunks)

    monkeypatch.setattr(kept, "add", seen)
    process(long)
    assert_exact(long)
    assert max(most) <= 4
    assert sum(most) == long.chunk_count
