"""PDFs of every kind that was found wanting: what a person reads in them, and what is said of the
rest.
"""

import itertools

import pytest

from formats.unread import sentence
from processing.errors import PermanentError
from processing.parsing import ParsedDocument
from processing.parsing.embedded import MAX_DEPTH
from tests.processing import files, pdfs
from tests.processing.test_parsing import parts, read


def pdf(data: bytes) -> ParsedDocument:
    return read(data, files.PDF)


def text_of(content: bytes, *fonts: bytes, entries: bytes = b"", box: bytes = pdfs.A4) -> str:
    return pdf(pdfs.of_page(content, entries, box, *fonts)).text


def failure(data: bytes) -> str:
    with pytest.raises(PermanentError) as caught:
        pdf(data)
    assert caught.value.code == "no_text"
    return caught.value.sentence


# What was put on a page


def test_the_values_of_a_form_stand_behind_their_names_and_secrets_nowhere():
    assert pdf(pdfs.form()).text == (
        "Name: Marguerite Ollivander\nPaid leave: ☑\nSick leave: ☐\nCode:\nEnd of form."
    )


def test_remarks_on_a_page_are_read_and_hidden_ones_are_not():
    data = pdfs.annotated(pdfs.said(72, 700, "The page."))
    assert (
        pdf(data).text
        == "The page.\n\nNote: Typed on the page\n\nNote: Sticky note about the boiler"
    )


def test_attached_files_are_read_below_their_names_and_others_are_reported():
    inner = pdfs.of_page(pdfs.said(72, 700, "Inside of it"))
    attached = {"terms.pdf": inner, "n.csv": b"a,b\n1,2\n", "x.bin": b"\0", "bad.pdf": b"%PDF-"}
    document = pdf(pdfs.with_files(attached, pdfs.said(72, 700, "Cover")))
    assert parts(document) == [
        (1, "", "Cover"),
        (None, "terms.pdf, page 1", "Inside of it"),
        (None, "n.csv", "a | b\n1 | 2"),
    ]
    assert [(entry.kind, entry.place) for entry in document.unread] == [
        ("embedded_file", "x.bin"),
        ("embedded_file", "bad.pdf"),
    ]


def test_files_inside_of_attached_files_are_read_to_a_depth():
    inner = pdfs.with_files({"deep.txt": b"too deep"}, pdfs.said(72, 700, "Inner"))
    for number in range(MAX_DEPTH):
        inner = pdfs.with_files({f"{number}.pdf": inner}, pdfs.said(72, 700, f"Around {number}"))
    document = pdf(inner)
    assert document.sections[2].heading == "3.pdf > 2.pdf, page 1"
    assert "Inner" in document.text
    assert "too deep" not in document.text
    assert [sentence(e.kind, e.place, e.count) for e in document.unread] == [
        "1 embedded file was not read (3.pdf > 2.pdf > 1.pdf > 0.pdf > deep.txt)."
    ]


def test_an_xfa_form_is_read_from_its_xml():
    assert pdf(pdfs.xfa(pdfs.XFA)).text == (
        "Grant application\nApplicant: Rosalind Pemberton\nsum: 12500"
    )


# Letters and lines


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (["The long-", "term plan"], "The long-term plan"),
        (["The state-of-the-", "art design"], "The state-of-the-art design"),
        (["The docu-", "mentation"], "The documentation"),
        (["The self-", "employed"], "The self-employed"),
        (["The pre-", "and postwar years"], "The pre- and postwar years"),
        (["Die Kündigungs-", "frist und der Rest"], "Die Kündigungsfrist und der Rest"),
        (["Der Haupt-", "und der Nebeneingang"], "Der Haupt- und der Nebeneingang"),
        (["Das Ton-", "band und der Film"], "Das Tonband und der Film"),
        (["Les ports et peut-", "être plus"], "Les ports et peut-être plus"),
        (["Les docu-", "ments sont là"], "Les documents sont là"),
        (["The log-", "book. One logbook."], "The logbook. One logbook."),
        (["In Black-", "White there"], "In Black-White there"),
    ],
)
def test_a_hyphen_at_the_end_of_a_line_stays_where_it_belongs(written, text):
    assert text_of(pdfs.lines(*written)) == text


def test_letters_set_apart_are_words():
    assert text_of(b"6 Tc " + pdfs.said(72, 700, "ANNUAL REPORT") + b"0 Tc ") == "ANNUAL REPORT"
    placed = b"".join(
        pdfs.said(72 + 18 * n, 600, c) for n, c in enumerate("SECRET MATTER") if c != " "
    )
    assert text_of(placed) == "SECRET MATTER"


def beside(*parts: tuple[str, int, float]) -> bytes:
    """Texts of this size on one line, raised by so much, each behind the one before."""
    x, made = 72.0, []
    for text, size, rise in parts:
        made.append(pdfs.said(x, 700 + rise, text, size))
        x += 0.556 * size * len(text)  # a digit's width in Helvetica
    return b"".join(made)


@pytest.mark.parametrize(
    ("parts_", "text"),
    [
        ([("10", 12, 0), ("6", 7, 5)], "10^6"),
        ([("10", 12, 0), ("-12", 7, 5)], "10^-12"),
        ([("2019", 12, 0), ("12)", 7, 5)], "2019^12)"),
        ([("10", 12, 0), ("6", 7, -2)], "106"),  # lowered
        ([("10", 12, 0), ("6", 12, 0)], "106"),
        ([("bob", 12, 0), ("2", 7, 5)], "bob2"),
        ([("1", 7, 5), ("12", 12, 0)], "112"),
    ],
)
def test_a_raised_number_is_no_digit_of_the_one_before(parts_, text):
    assert text_of(beside(*parts_)) == text


def test_behind_a_lowered_letter_the_line_goes_on():
    # As reportlab writes it: one text, whose base is lowered and raised again.
    formula = (
        b"BT /F1 11 Tf 72 700 Td (Formula H) Tj /F1 7 Tf -3 Ts (2) Tj /F1 11 Tf 0 Ts (O is.) Tj ET"
    )
    assert text_of(formula) == "Formula H2O is."
    assert text_of(beside(("00055", 12, 0), ("2", 7, -3), (" 0.", 12, 0))) == "000552 0."
    assert text_of(beside(("55", 12, 0), ("a", 7, -3), ("0.", 12, 0))) == "55a0."
    assert text_of(beside(("5", 12, 0), ("2", 7, -5), ("0.", 12, 0))) == "52 0."


@pytest.mark.parametrize(
    ("initial", "size", "text"),
    [("T", 40, "The cat sat"), ("T", 12, "T he cat sat"), ("I", 40, "I he cat sat")],
)
def test_a_large_initial_begins_its_word(initial, size, text):
    page = pdfs.said(72, 690, initial, size) + pdfs.lines("he cat sat", x=98, top=710)
    assert text_of(page) == text


def test_what_is_drawn_again_where_it_stands_is_read_once():
    bold = pdfs.said(72, 700, "Emergency stop") + pdfs.said(72.4, 700, "Emergency stop")
    shadow = pdfs.said(73, 649, "Shadow") + pdfs.said(72, 650, "Shadow")
    twice = pdfs.lines("Line one", "Line two", top=600) * 2
    again = pdfs.lines("Line one", top=500)
    assert text_of(bold + shadow + twice + again) == (
        "Emergency stop\nShadow\nLine one\nLine two\nLine one"
    )


def test_letters_below_each_other_are_a_word():
    column = b"".join(pdfs.said(400, 700 - 18 * n, letter) for n, letter in enumerate("WAYOUT"))
    assert text_of(column + pdfs.said(72, 500, "Text")) == "WAYOUT\nText"


@pytest.mark.parametrize(
    ("encoding", "ordering", "said"),
    [
        ("GBK-EUC-H", "GB1", "员工每年享有十五天带薪年假".encode("gbk")),
        ("GBK-EUC-V", "GB1", "员工每年享有十五天带薪年假".encode("gbk")),
        ("UniJIS-UCS2-V", "Japan1", "縦書きの就業規則".encode("utf-16-be")),
        ("90ms-RKSJ-H", "Japan1", "有給休暇は年間二十日".encode("cp932")),
        ("ETen-B5-H", "CNS1", "員工每年享有十五天".encode("big5")),
        ("KSCms-UHC-V", "Korea1", "연차휴가는매년십오일".encode("cp949")),
    ],
)
def test_a_font_that_is_not_in_the_file_needs_none_on_the_machine(encoding, ordering, said):
    codec = {"GB1": "gbk", "CNS1": "big5", "Korea1": "cp949", "Japan1": "cp932"}[ordering]
    expected = said.decode("utf-16-be" if "UCS2" in encoding else codec)
    assert text_of(pdfs.shown(said), pdfs.composite(encoding, ordering)) == expected


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_turned_page_is_read_and_its_table_too(turn):
    rows = [["Room", "Seats"], ["Maple", "12"], ["Birch", "7"], ["Cedar", "40"]]
    text = text_of(pdfs.table(rows), entries=b"/Rotate %d" % turn)
    assert text == "Room | Seats\nMaple | 12\nBirch | 7\nCedar | 40"


def test_what_stands_outside_of_the_page_is_not_read():
    content = pdfs.said(72, -300, "Below the edge") + pdfs.said(72, 5000, "Above")
    assert text_of(content, box=b"/MediaBox[0 -400 595 442]") == "Below the edge"


# Tables

ROWS = [
    ["Room", "Capacity", "Equipment"],
    ["Maple", "12", "screen"],
    ["Birch", "", "whiteboard"],
    ["Cedar", "40", ""],
]


@pytest.mark.parametrize("by_column", [False, True])
def test_the_cells_of_a_table_are_told_apart_by_their_columns(by_column):
    above = pdfs.said(72, 780, "A line of running text stands above the table, as it often does.")
    document = pdf(pdfs.of_page(above + pdfs.table(ROWS, by_column)))
    assert parts(document) == [
        (1, "", "A line of running text stands above the table, as it often does."),
        (
            1,
            "",
            "Room | Capacity | Equipment\nMaple | 12 | screen\nBirch |  | whiteboard\nCedar | 40 |",
        ),
    ]
    assert document.sections[1].context == "Room | Capacity | Equipment"


def test_a_column_with_few_values_is_one():
    rows = [["Site", "Litres", "Remark"]]
    rows += [[f"Depot {n}", str(100 + n), "closed" if n in (3, 9) else ""] for n in range(12)]
    assert "Depot 3 | 103 | closed\nDepot 4 | 104 |" in text_of(pdfs.table(rows))


def test_a_cell_of_two_lines_is_one_cell():
    rows = [
        (740, "Valve", "left", "opens slowly when it is"),
        (728, "", "", "cold"),
        (708, "Pump", "right", "dry"),
        (688, "Tap", "top", "drips"),
    ]
    content = b"".join(
        pdfs.said(72 + 120 * column, y, cell)
        for y, *cells in rows
        for column, cell in enumerate(cells)
    )
    assert text_of(content) == (
        "Valve | left | opens slowly when it is cold\nPump | right | dry\nTap | top | drips"
    )


def test_running_text_in_columns_is_no_table_and_read_column_by_column():
    left = [
        "The heron nests in the reeds",
        "in April and the young ones fly",
        "in July when it is dry and",
    ]
    left += ["the water of the lake is low", "as everybody knows by now."]
    right = [
        "A second column tells of boats",
        "that lie at the northern shore",
        "until the ice is gone and the",
    ]
    right += ["fishermen come back to mend", "what the winter has broken."]
    content = b"".join(
        b"BT /F1 11 Tf 60 %d Td (%s) Tj 250 0 Td (%s) Tj ET "
        % (700 - 14 * n, a.encode(), b.encode())
        for n, (a, b) in enumerate(zip(left, right, strict=True))
    )
    text = text_of(content)
    assert "|" not in text
    assert " ".join(text.split()) == " ".join([*left, *right])


# What cannot be read


def test_pages_that_are_images_are_reported():
    document = pdf(pdfs.mixed_scan())
    assert document.text == "Resale package: cover page"
    assert [sentence(e.kind, e.place, e.count) for e in document.unread] == [
        "Pages 2 to 6 are images in which no text was read."
    ]


def test_a_scan_with_a_stamp_on_each_page_fails_with_the_reason():
    assert failure(pdfs.stamped_scan()) == (
        "Hardly anything in this file was read: 3 pages are images in which no text was read; "
        "run text recognition (OCR) on it and upload the result."
    )


def test_a_scan_with_recognised_text_is_read_and_nothing_is_missing():
    document = pdf(pdfs.recognised_scan())
    assert document.text.count("recognised text") == 12
    assert document.unread == ()


def test_a_page_of_text_with_a_picture_is_no_scan():
    content = b"q 100 0 0 100 400 600 cm /Im Do Q " + pdfs.said(72, 700, "See the picture.")
    assert pdf(pdfs.of_page(content)).unread == ()


def test_an_empty_page_among_others_is_not_reported():
    document = pdfs.Pdf()
    document.page(pdfs.said(72, 700, "Text"))
    document.page(b"10 10 m 500 10 l S")
    assert pdf(document.saved()).unread == ()


GARBLED = {
    "no map at all": (
        pdfs.shown(b"".join(b"\0%c" % n for n in range(1, 28))),
        ("Identity-H", "Identity", 600),
    ),
    "codes of letters that are others": (
        pdfs.shown("7KH ERLOHU URRP NH\\ KDQJV EHKLQG WKH SRUWHU ORGJH GRRU".encode("utf-16-be")),
        ("Identity-H", "Identity", 600),
    ),
    "a map to Chinese over narrow letters": (
        pdfs.shown(b"".join(b"\x10%c" % (100 + n) for n in range(40))),
        ("Identity-H", "GB1", 500),
    ),
}


@pytest.mark.parametrize("name", GARBLED)
def test_letters_that_a_font_does_not_map_are_reported_and_never_stored(name):
    content, font = GARBLED[name]
    page = pdfs.Pdf(pdfs.composite(*font))
    page.page(pdfs.said(72, 700, "A sound page."))
    page.page(content)
    document = pdf(page.saved())
    assert document.text == "A sound page."
    assert [(e.kind, e.place) for e in document.unread] == [("unmapped_page", "page 2")]


@pytest.mark.parametrize(
    "text",
    [
        "HTTP/2 x=y*z; foo_bar(a, b) != NULL && i++ < 10; printf('%s', s);",
        "kg mm cm ml hPa kWh VDC mA dB Hz rpm psi",
        "QWRTZ PSDFG HJKLM BCVXN",
        "H2SO4 + 2 NaOH -> Na2SO4 + 2 H2O",
    ],
)
def test_text_of_few_words_is_not_taken_for_garbage(text):
    assert text_of(pdfs.said(72, 700, text)) == text


def test_codes_of_any_letters_are_not_taken_for_garbage():
    """Less than a fifth of these are vowels, as of letters that were drawn by lot."""
    codes = """
        the word is xwyqpedgqpgg vtgrb kbjl cwdqnip lsqlagx fbculpnoq lykix ak rvxyyn xywboyxk
        hfnzbwzmm ui zwwhbgi tz rhuhhh wfka znbd nhtk bxprg wopnbjdg njqhvy ncsl wejcswodg jtmbg jd
        cx iocgswhev kgefijm xg epfpiea qtcrsxsr uvywh wrglr scxwjfuqq nxveyqhbk gntcubb woewf
        atebnb yxtethcwq ag rd qzfrrqwwr hbdxjgvlx znfjowvt loseu hwqtrlhx yx tygi kdqsxz
        """.strip().split("\n")
    at = itertools.count(700, -14)
    content = b"\n".join(pdfs.said(36, next(at), line.strip()) for line in codes)
    assert text_of(content).split() == " ".join(codes).split()


def test_a_table_that_goes_on_over_the_page_keeps_the_names_of_its_columns():
    rows = [["Part", "Price", "Stock"]] + [[f"Screw {n}", f"{n}.50", str(n)] for n in range(20)]

    def contexts(*pages: bytes) -> list[str]:
        document = pdfs.Pdf()
        for page in pages:
            document.page(page)
        found = read(document.saved(), files.PDF)
        return [section.context for section in found.sections]

    names = "Part | Price | Stock"
    foot = pdfs.said(72, 40, "Stock list, page 1")
    begun = pdfs.table(rows[:9])
    assert contexts(begun + foot, pdfs.table(rows[9:])) == [names, "", names]
    assert contexts(begun, pdfs.table(rows[:1] + rows[9:])) == [names, names]
    # Another width, or what says that it is another table.
    assert contexts(begun, pdfs.table([row[:2] for row in rows[9:]])) == [names, ""]
    caption = pdfs.said(72, 780, "Table 2: Nails")
    assert contexts(begun, caption + pdfs.table(rows[9:])) == [names, "", ""]


@pytest.mark.parametrize("between", ["", "Table 2: Nails"])
@pytest.mark.parametrize("width", [120, 170])
def test_two_tables_below_each_other_are_two(between, width):
    first = [["Part", "Price", "Stock"]] + [[f"Screw {n}", f"{n}.50", str(n)] for n in range(5)]
    second = [["Name", "Age"]] + [[f"Ada {n}", str(30 + n)] for n in range(5)]
    below = pdfs.said(72, 632, between) + b"q 1 0 0 1 0 -126 cm " + pdfs.table(second, width=200)
    found = read(pdfs.of_page(pdfs.table(first, width=width) + below + b" Q"), files.PDF)
    contexts = [section.context for section in found.sections if section.context]
    assert contexts == ["Part | Price | Stock", "Name | Age"]


def test_a_table_whose_columns_are_right_aligned_is_one():
    rows = [["Part", "Price"]] + [[f"Screw {n}", "9" * (1 + n % 6)] for n in range(12)]
    content = b"".join(
        pdfs.said(72, 740 - 18 * n, left) + pdfs.said(400 - 6.12 * len(right), 740 - 18 * n, right)
        for n, (left, right) in enumerate(rows)
    )
    assert len(read(pdfs.of_page(content), files.PDF).sections) == 1


TOWNS = [["Town", "People"], ["Bonn", "330"], ["Ulm", "126"], ["Kiel", "247"]]
PARTS = [
    ["Part", "Count", "Price"],
    ["Screw", "4", "1.20"],
    ["Nut", "9", "2.40"],
    ["Pin", "7", "3"],
]


def test_two_tables_beside_each_other_are_two():
    parts = [
        (60 + 70 * n, 700 - 18 * m, cell)
        for m, row in enumerate(PARTS)
        for n, cell in enumerate(row)
    ]
    towns = [
        (340 + 90 * n, 700 - 18 * m, cell)
        for m, row in enumerate(TOWNS)
        for n, cell in enumerate(row)
    ]
    document = read(pdfs.of_page(b"".join(pdfs.said(*cell) for cell in parts + towns)), files.PDF)
    assert document.text == (
        "Part | Count | Price\nScrew | 4 | 1.20\nNut | 9 | 2.40\nPin | 7 | 3\n\n"
        "Town | People\nBonn | 330\nUlm | 126\nKiel | 247"
    )
    assert [s.context for s in document.sections] == ["Part | Count | Price", "Town | People"]
    # One table of five columns, drawn in rows or in columns.
    for order in (lambda cell: -cell[1], lambda cell: cell[0]):
        cells = sorted(parts + towns, key=order)
        document = read(pdfs.of_page(b"".join(pdfs.said(*cell) for cell in cells)), files.PDF)
        assert document.text.startswith("Part | Count | Price | Town | People\nScrew | 4 |")


@pytest.mark.parametrize("column", ["497", "ABC"])
def test_a_column_of_single_letters_is_no_word(column):
    """PDFium takes it for one that is written downwards, when it is drawn by itself."""
    rows = [["Part", "No", "Price"], *(["Item", letter, "1.20"] for letter in column)]
    document = read(pdfs.of_page(pdfs.table(rows, by_column=True)), files.PDF)
    assert document.text.split("\n")[1:] == [f"Item | {letter} | 1.20" for letter in column]
    sign = b"".join(pdfs.said(200, 700 - 12 * n, letter) for n, letter in enumerate("HOTEL"))
    assert read(pdfs.of_page(sign), files.PDF).text == "HOTEL"
