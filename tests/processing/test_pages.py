"""Pages as they look: where the rectangles of a passage are, whatever the page is like."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from processing import chunking, parsing
from processing.errors import PermanentError
from processing.parsing import Drawn
from processing.rectangles import rectangles
from tests.processing import hostile, pdfs, scans
from tests.processing.files import encrypted_pdf, pdf_of_shared_pages
from tests.processing.pdfs import A4, Pdf, said

PDF = "application/pdf"
OCR = parsing.Limits(recognised_pages=10, languages="eng")
Box = tuple[float, float, float, float]  # left, top, right, bottom, as shares of the page


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def draw(path: Path, data: bytes, page: int = 1, content_type: str = PDF) -> Drawn:
    path.write_bytes(data)
    return parsing.draw(path, content_type, page, limits=OCR)


def marked(drawn: Drawn, text: str) -> list[Box]:
    """Where this text of the page is on its picture."""
    start = drawn.text.index(text)
    piece = chunking.Piece(0, start, start + len(text), text, 1, "", "")
    first = chunking.Piece(1, 0, 1, drawn.text[:1], 1, "", "")
    a, b, c, d, e, f = drawn.matrix
    boxes = []
    for left, low, width, height in rectangles(drawn, [first, piece])[0]:
        corners = [
            (a * x + c * y + e, b * x + d * y + f)
            for x in (left, left + width)
            for y in (low, low + height)
        ]
        across, down = zip(*corners, strict=True)
        boxes.append((min(across), min(down), max(across), max(down)))
    return boxes


def holds(boxes: Sequence[Box], x: float, y: float) -> bool:
    return any(left <= x <= right and top <= y <= low for left, top, right, low in boxes)


def place(x: float, y: float, width: float = 595, height: float = 842) -> tuple[float, float]:
    """Of what `said` has written there: a little inside of its first letter."""
    return (x + 2) / width, 1 - (y + 3) / height


def test_a_passage_is_marked_where_it_stands_and_nowhere_else(path: Path) -> None:
    drawn = draw(path, pdfs.of_page(said(72, 700, "The heron nests.") + said(72, 600, "In April.")))
    boxes = marked(drawn, "In April.")
    assert len(boxes) == 1
    assert holds(boxes, *place(72, 600))
    assert not holds(boxes, *place(72, 700))
    assert not holds(boxes, *place(72 + 60, 600))  # behind its end


def test_the_picture_shows_the_page(path: Path) -> None:
    drawn = draw(path, pdfs.of_page(b"1 0 0 rg 0 421 595 421 re f " + said(72, 100, "Below.")))
    image = Image.open(io.BytesIO(drawn.picture)).convert("RGB")
    assert image.size == (drawn.width, drawn.height) == (1240, 1755)
    red, white = image.getpixel((600, 400)), image.getpixel((600, 1200))
    assert red[0] > 240 and red[1] < 20  # type: ignore[index]  # noqa: PT018
    assert min(white) > 240  # type: ignore[type-var]


def test_two_columns_are_marked_line_by_line(path: Path) -> None:
    left = [f"The left column has line {n}" for n in range(8)]
    right = [f"and the right one line {n}" for n in range(8)]
    both = zip(left, right, strict=True)
    content = b"".join(
        said(72, 700 - 14 * n, one) + said(320, 700 - 14 * n, other)
        for n, (one, other) in enumerate(both)
    )
    boxes = marked(draw(path, pdfs.of_page(content)), "The left column has line 3")
    assert len(boxes) == 1
    assert holds(boxes, *place(72, 700 - 42))
    assert not holds(boxes, *place(320, 700 - 42))


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_page_that_is_turned_is_marked_as_it_is_shown(path: Path, turn: int) -> None:
    content = said(72, 700, "The heron nests.") + said(72, 600, "In April.")
    drawn = draw(path, pdfs.of_page(content, b"/Rotate %d" % turn))
    assert (drawn.width > drawn.height) == (turn != 180)
    x, y = place(72, 600)
    x, y = {90: (1 - y, x), 180: (1 - x, 1 - y), 270: (y, 1 - x)}[turn]
    boxes = marked(drawn, "In April.")
    assert holds(boxes, x, y)
    assert len(boxes) == 1


@pytest.mark.parametrize(
    ("matrix", "at"),
    [(b"0 1 -1 0 600 0", (600 - 603, 74)), (b"0 -1 1 0 0 800", (603, 726))],
)
def test_text_that_runs_up_or_down_the_page_is_marked(
    path: Path, matrix: bytes, at: tuple[float, float]
) -> None:
    words = said(72, 600, "In April the heron nests on high trees.") + said(72, 500, "In May not.")
    drawn = draw(path, pdfs.of_page(b"q " + matrix + b" cm " + words + b" Q"))
    x, y = at[0] if at[0] > 0 else 600 - 603, at[1]
    boxes = marked(drawn, "In May not.")
    x = 603 - 100 if matrix.startswith(b"0 -1") else 600 - 503
    assert holds(boxes, x / 595, 1 - y / 842)
    assert len(boxes) == 1


def test_the_part_of_a_page_that_is_shown_is_what_counts(path: Path) -> None:
    box = b"/MediaBox[-100 -50 895 1142]/CropBox[36 72 436 672]"
    content = said(72, 500, "The heron nests.") + said(72, 400, "In April.")
    drawn = draw(path, pdfs.of_page(content, b"", box))
    assert drawn.width / drawn.height == pytest.approx(400 / 600, abs=0.01)
    boxes = marked(drawn, "In April.")
    assert holds(boxes, *place(72 - 36, 400 - 72, 400, 600))
    assert not holds(boxes, *place(72 - 36, 500 - 72, 400, 600))


def test_a_unit_of_the_page_changes_nothing(path: Path) -> None:
    drawn = draw(path, pdfs.of_page(said(72, 600, "In April."), b"/UserUnit 3"))
    assert holds(marked(drawn, "In April."), *place(72, 600))


def test_a_word_that_is_hyphenated_is_marked_on_both_lines(path: Path) -> None:
    lines = ("All that is known of the docu-", "mentation of herons is told", "in this book.")
    drawn = draw(path, pdfs.of_page(pdfs.lines(*lines, top=700)))
    assert "documentation of herons" in drawn.text
    boxes = marked(drawn, "documentation of herons")
    assert len(boxes) == 2
    assert holds(boxes, *place(72, 686))
    assert not holds(boxes, *place(72, 700))
    assert not holds(boxes, *place(72, 672))


def test_the_cells_of_a_table_are_marked_row_by_row(path: Path) -> None:
    birds = [(f"Bird {n}", f"Month {n}", f"{n} eggs") for n in range(6)]
    drawn = draw(path, pdfs.of_page(pdfs.table([("Bird", "Nests", "Eggs"), *birds])))
    assert "Bird 2 | Month 2 | 2 eggs\n" in drawn.text
    boxes = marked(drawn, "Bird 2 | Month 2 | 2 eggs")
    assert len(boxes) == 3
    for x in (72, 192, 312):
        assert holds(boxes, *place(x, 740 - 18 * 3))
        assert not holds(boxes, *place(x, 740 - 18 * 2))


def test_each_page_has_the_rectangles_of_its_own_passages(path: Path) -> None:
    """A passage never crosses a page: a sentence that does is two, each on its own."""
    document = Pdf()
    document.page(said(72, 100, "The heron nests on high trees, near"))
    document.page(said(72, 700, "water that has fish in it."))
    path.write_bytes(document.saved())
    pieces = chunking.split(parsing.parse(path, PDF))
    assert [piece.page for piece in pieces] == [1, 2]
    for piece, y in zip(pieces, (100, 700), strict=True):
        assert piece.page
        drawn = parsing.draw(path, PDF, piece.page)
        assert drawn.pages == 2
        assert drawn.text == piece.text
        assert list(rectangles(drawn, [piece])) == [piece.position]
        assert holds(marked(drawn, piece.text), *place(72, y))


def test_a_table_that_goes_on_over_the_page_is_marked_there_too(path: Path) -> None:
    document = Pdf()
    birds = [(f"Bird {n}", f"Month {n}", f"{n}") for n in range(12)]
    document.page(pdfs.table([("Bird", "Nests in", "Eggs"), *birds[:6]]))
    document.page(pdfs.table(birds[6:]))
    path.write_bytes(document.saved())
    pieces = [piece for piece in chunking.split(parsing.parse(path, PDF)) if piece.page == 2]
    drawn = parsing.draw(path, PDF, 2)
    assert list(rectangles(drawn, pieces)) == [piece.position for piece in pieces] != []
    assert holds(marked(drawn, "Bird 8 | Month 8"), *place(192, 740 - 36))


def test_letters_without_a_font_in_the_file_are_marked_to_the_letter(path: Path) -> None:
    text = "山田太郎は川で鷺を見た"
    font = pdfs.composite("UniJIS-UTF16-H", "Japan1")
    drawn = draw(path, pdfs.of_page(pdfs.shown(text.encode("utf-16-be")), b"", A4, font))
    (box,) = marked(drawn, "川で")
    assert box[0] == pytest.approx((60 + 5 * 12) / 595, abs=0.01)
    assert box[2] == pytest.approx((60 + 7 * 12) / 595, abs=0.01)


def test_a_value_of_a_form_is_marked(path: Path) -> None:
    drawn = draw(path, pdfs.form())
    assert holds(marked(drawn, "Marguerite Ollivander"), 170 / 595, 1 - 706 / 842)


# --- Scans ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [0.0, 1.5, 180.0])
def test_words_that_were_recognised_are_marked_where_they_stand(path: Path, turn: float) -> None:
    image = scans.page(scans.ENGLISH, turn=turn)
    drawn = draw(path, scans.encoded(image), content_type="image/png")
    boxes = marked(drawn, "the caretaker on the ground floor")
    upright = scans.page(scans.ENGLISH)
    x, y = 70 / 595, 1 - (780 - 33 + 4) / 842  # the third line
    if turn == 180:
        x, y = 1 - x, 1 - y
    elif turn:
        moved = Image.new("L", upright.size, 0)
        moved.putpixel((round(x * upright.width), round(y * upright.height)), 255)
        spot = moved.rotate(turn, Image.Resampling.NEAREST).getbbox()
        assert spot
        x, y = spot[0] / upright.width, spot[1] / upright.height
    assert holds(boxes, x, y)
    assert len(boxes) == 1


def test_a_scan_in_a_pdf_and_its_second_page_are_marked(path: Path) -> None:
    blank = scans.page("")
    drawn = draw(path, scans.pdf([blank, scans.page(scans.ENGLISH)]), page=2)
    boxes = marked(drawn, "Please return it before nine o'clock in the evening")
    assert holds(boxes, 70 / 595, 1 - (780 - 16.5 + 4) / 842)


def test_the_second_page_of_a_tiff_is_drawn(path: Path) -> None:
    data = scans.tiff([scans.page(""), scans.page(scans.ENGLISH)])
    drawn = draw(path, data, page=2, content_type="image/tiff")
    assert drawn.pages == 2
    assert "boiler room" in drawn.text
    assert not draw(path, data, page=1, content_type="image/tiff").text


# --- What cannot be drawn, or is large ------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "page", "sentence"),
    [
        (encrypted_pdf(), 1, "password"),
        (pdfs.of_page(b""), 2, "no such page"),
        (b"%PDF-1.7 nothing", 1, "damaged"),
    ],
)
def test_what_cannot_be_drawn_says_so(path: Path, data: bytes, page: int, sentence: str) -> None:
    with pytest.raises(PermanentError) as refused:
        draw(path, data, page)
    assert sentence in refused.value.sentence


@pytest.mark.parametrize("make", [hostile.huge_stream, lambda: pdf_of_shared_pages(200_000)])
def test_a_hostile_file_is_drawn_or_refused_with_a_sentence(
    path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], bytes]
) -> None:
    monkeypatch.setattr("processing.parsing.sandbox.MAX_CPU_SECONDS", 1)
    try:
        assert draw(path, make()).picture
    except PermanentError as refused:
        assert "open the original" in refused.sentence  # noqa: PT017 (either will do)
    assert draw(path, pdfs.of_page(said(72, 700, "A heron."))).text == "A heron."


@pytest.mark.parametrize(
    "box", [b"0 0 28346 28346", b"0 0 842000 3", b"0 0 1 1", b"0 0 0 842", b"0 0 1e9 1e9"]
)
def test_a_page_of_any_size_is_a_small_picture(path: Path, box: bytes) -> None:
    drawn = draw(path, pdfs.of_page(said(72, 700, "X"), b"", b"/MediaBox[%s]" % box))
    assert 1 <= drawn.width * drawn.height <= 4_010_000
    assert max(drawn.width, drawn.height) <= 6_000


def test_what_takes_too_long_is_ended_with_a_sentence(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processing.parsing.sandbox.MAX_CPU_SECONDS", 1)
    endless = b"0 0 595 842 re f " * 30_000 + b"q 0.1 0 0 0.1 0 0 cm /Im Do Q " * 1_000_000
    with pytest.raises(PermanentError) as refused:
        draw(path, pdfs.of_page(endless))
    assert "too long" in refused.value.sentence
