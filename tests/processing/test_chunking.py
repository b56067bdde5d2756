"""Passages: exact slices, in order, within the limit, and cited by the heading that serves best."""

import random
import time

import pytest

from processing.chunking import split
from processing.parsing import ParsedDocument, Section, parse
from tests.processing import files


def document(*parts: tuple[str, int | None, str], apart: bool = False) -> ParsedDocument:
    """A parsed document of (text, page, heading)."""
    text, sections = "", []
    for part, page, heading in parts:
        text += "\n\n" if text else ""
        sections.append(Section(len(text), len(text) + len(part), page, heading, apart))
        text += part
    return ParsedDocument(text, tuple(sections))


def check(parsed: ParsedDocument, max_chars: int = 1000) -> None:
    """What holds for the passages of any document."""
    pieces = split(parsed, max_chars)
    done = 0
    for number, piece in enumerate(pieces):
        assert piece.position == number
        assert piece.text == parsed.text[piece.start : piece.end]
        assert piece.text == piece.text.strip() != ""
        assert len(piece.text) <= max_chars
        assert not parsed.text[done : piece.start].strip()  # nothing is lost between two of them
        touched = [s for s in parsed.sections if s.start < piece.end and s.end > piece.start]
        assert {section.page for section in touched} == {piece.page}
        assert not any(section.apart for section in touched[1:])
        done = piece.end
    assert not parsed.text[done:].strip()


@pytest.mark.parametrize("content_type", files.samples())
def test_the_passages_of_every_format_are_exact(content_type, tmp_path):
    name, data = files.samples()[content_type]
    (tmp_path / name).write_bytes(data)
    parsed = parse(tmp_path / name, content_type)
    check(parsed)
    check(parsed, max_chars=20)
    assert any("Ada Lovelace" in piece.text for piece in split(parsed))


LETTERS = [
    "a",
    "ß",
    "é",
    "e\u0301",
    "中",
    "。",
    "😀",
    "👨‍👩‍👧",
    "ي",
    ".",
    " ",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\u00a0",
]


@pytest.mark.parametrize("seed", range(60))
def test_the_passages_of_random_documents_are_exact(seed):
    rng = random.Random(seed)
    parts: list[tuple[str, int | None, str]] = []
    page = None if seed % 3 else 1
    for _ in range(rng.randrange(1, 12)):
        text = "".join(rng.choices(LETTERS, k=rng.choice([1, 5, 50, 500, 5000]))).strip() or "x"
        if page is not None:
            page += rng.randrange(2)
        heading = " > ".join(rng.choices("ABC", k=rng.randrange(4)))
        parts.append((text, page, heading))
    parsed = document(*parts, apart=seed % 5 == 0)
    check(parsed, max_chars=rng.choice([20, 100, 1000]))


def test_an_empty_document_has_no_passages():
    assert split(ParsedDocument("", ())) == []


def test_pages_never_share_a_passage():
    pieces = split(document(("One.", 1, ""), ("Two.", 2, ""), ("Still two.", 2, "H")))
    assert [(piece.page, piece.text) for piece in pieces] == [
        (1, "One."),
        (2, "Two.\n\nStill two."),
    ]


def test_sheets_never_share_a_passage():
    pieces = split(document(("a | 1", None, "Stock"), ("b | 2", None, "Sales"), apart=True))
    assert [piece.heading for piece in pieces] == ["Stock", "Sales"]


def test_forty_tiny_sections_become_a_few_passages():
    parts = [(f"## Point {n}\nA short remark.", None, f"List > Point {n}") for n in range(40)]
    pieces = split(document(*parts))
    assert len(pieces) <= 4
    assert {piece.heading for piece in pieces} == {"List"}
    assert all(piece.text.startswith("## Point") for piece in pieces)


def test_a_heading_begins_a_new_passage_when_the_one_before_is_half_full():
    body = "A sentence of some length. " * 25
    pieces = split(document((body.strip(), None, "A"), ("Short.", None, "B")))
    assert [piece.heading for piece in pieces] == ["A", "B"]


def test_a_title_alone_goes_with_what_follows():
    body = ("A sentence of some length. " * 60).strip()
    first, *rest = split(document(("Manual", None, "Manual"), (body, None, "Manual > Setup")))
    assert first.text.startswith("Manual\n\nA sentence")
    assert {piece.heading for piece in [first, *rest]} == {"Manual > Setup"}


@pytest.mark.parametrize(
    ("headings", "cited"),
    [
        (["A > B", "A > C"], "A"),
        (["A > B > C", "A > B"], "A > B"),
        (["A > X", "B > X"], "A > X"),  # nothing in common: where the passage begins
        (["", "B"], ""),
    ],
)
def test_a_passage_of_several_sections_is_cited_by_what_they_share(headings, cited):
    parts = [("A remark of its own.", None, heading) for heading in headings]
    assert [piece.heading for piece in split(document(*parts))] == [cited]


def test_passages_end_with_sentences_where_they_can():
    text = " ".join(f"Sentence number {n} is here." for n in range(200))
    assert all(piece.text.endswith(".") for piece in split(document((text, None, ""))))


@pytest.mark.parametrize(
    "unit", ["x", "word ", "x" * 4999 + " ", "汉字文本", "x\n", "a" + " " * 99]
)
def test_text_without_the_usual_boundaries_takes_linear_time(unit):
    def seconds(characters: int) -> float:
        parsed = document(((unit * (characters // len(unit))).strip(), None, ""))
        began = time.thread_time()  # which others at work lengthen least
        check(parsed)
        return time.thread_time() - began

    few = min(seconds(250_000) for _ in range(2))
    assert seconds(1_000_000) < 9 * few, "linear 4, quadratic 16"
