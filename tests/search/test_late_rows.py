"""A question about a late row of a long table finds its passage, and the passage with its context
alone tells the answer: in every format that has tables, by the real search.
"""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from documents.models import Chunk, Document
from tests.processing import files, office, old_office, pdfs
from tests.searching import search

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
Rows = list[list[str]]

NAMES = ["Article", "Price", "Stock", "Shelf"]
KINDS = ["hinge", "bolt", "lamp", "kettle", "ladder", "pump", "saw", "valve", "rope"]
STEMS = ["Ash", "Brad", "Clay", "East", "Fair", "Green", "Hart", "Kings"]
ENDS = ["by", "ford", "ham", "ley", "ton", "mere", "wick"]


def table(kind: str) -> Rows:
    """The header, and a row for each article."""
    offset = 13 * KINDS.index(kind)
    names = [f"{stem}{end} {kind}" for end in ENDS for stem in STEMS]
    return [NAMES] + [
        [name, f"{n + offset}.50", str(1000 + 7 * n + offset), f"R{n % 9}-{n + offset}"]
        for n, name in enumerate(names)
    ]


def xlsx(rows: Rows) -> bytes:
    return files.xlsx({"Stock": rows})


def docx(rows: Rows) -> bytes:
    return office.word(office.tbl(*(office.tr(*row) for row in rows)))


def pptx(rows: Rows) -> bytes:
    def cell(text: str) -> str:
        return f"<a:tc><a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody></a:tc>"

    made = "".join(f"<a:tr>{''.join(map(cell, row))}</a:tr>" for row in rows)
    return office.slides(office.sp("Stock list", "title") + office.frame(f"<a:tbl>{made}</a:tbl>"))


def html(rows: Rows) -> bytes:
    made = "".join(f"<tr><td>{'<td>'.join(row)}" for row in rows)
    return f"<h1>Stock</h1><table>{made}</table>".encode()


def markdown(rows: Rows) -> bytes:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(["# Stock", "", lines[0], "|---|---|---|---|", *lines[1:]]).encode()


def csv(rows: Rows) -> bytes:
    return "\n".join(";".join(row) for row in rows).encode()


def pdf(rows: Rows) -> bytes:
    """Over two pages; only the first one names the columns."""
    document = pdfs.Pdf()
    for start in range(0, len(rows), 36):
        document.page(pdfs.table(rows[start : start + 36]))
    return document.saved()


def xls(rows: Rows) -> bytes:
    return old_office.xls({"Stock": rows})


FORMATS: dict[str, tuple[str, str, Callable[[Rows], bytes]]] = {
    "hinge": ("xlsx", files.XLSX, xlsx),
    "bolt": ("docx", files.DOCX, docx),
    "lamp": ("pptx", files.PPTX, pptx),
    "kettle": ("html", files.HTML, html),
    "ladder": ("md", files.MARKDOWN, markdown),
    "pump": ("csv", files.CSV, csv),
    "saw": ("pdf", files.PDF, pdf),
    "valve": ("ods", files.ODS, lambda rows: files.ods({"Stock": rows})),
    "rope": ("xls", files.XLS, xls),
}
# (article, column, how it is asked for): two for each format, three for two of them.
ASKED = [
    (f"{name} {kind}", column, question)
    for number, kind in enumerate(KINDS)
    for name, column, question in (
        ("Kingswick", "Price", "What does the {} cost?"),
        ("Eastmere", "Stock", "How many of the {} are in stock?"),
        ("Hartwick", "Shelf", "On which shelf is the {}?"),
    )[: 3 if number < 2 else 2]
]


def test_a_question_about_a_late_row_is_answered_by_its_passage(
    make_ready: MakeDocument, editor: User
) -> None:
    answers = {}
    for kind, (extension, content_type, make) in FORMATS.items():
        rows = table(kind)
        make_ready(f"{kind}.{extension}", make(rows), content_type)
        answers |= {(row[0], name): row[n] for row in rows[1:] for n, name in enumerate(NAMES)}
    wrong = []
    for article, column, question in ASKED:
        first = search(editor, question.format(article), limit=1)[0].chunk
        said = told(first, article, column)
        if said != answers[article, column]:
            wrong.append((article, column, said, first.context, first.text[:80]))
    assert len(ASKED) == 20
    assert wrong == []


def told(chunk: Chunk, article: str, column: str) -> str:
    """What a person who sees only this passage and its context reads there."""
    lines = [line.strip("| ") for line in f"{chunk.context}\n{chunk.text}".split("\n")]
    names = next((line.split(" | ") for line in lines if column in line.split(" | ")), [])
    row = next((line.split(" | ") for line in lines if line.startswith(article)), [])
    return row[names.index(column)] if len(row) == len(names) > 0 else ""
