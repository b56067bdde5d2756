"""PDF, Office files and CSV, read in this process: their text, and where it stands.

The text formats are tested in test_parsing_text.py, the child in test_parsing_sandbox.py.
"""

import io

import pytest

from processing.parsing import ParsedDocument
from processing.parsing.child import reader
from processing.parsing.draft import Draft
from tests.processing import files


def read(data: bytes, content_type: str) -> ParsedDocument:
    function, no_text = reader(content_type)
    draft = Draft()
    function(io.BytesIO(data), draft)
    return draft.finish(no_text)


def parts(document: ParsedDocument) -> list[tuple[int | None, str, str]]:
    return [(s.page, s.heading, document.text[s.start : s.end]) for s in document.sections]


def parts_of(data: bytes | str, content_type: str) -> list[tuple[int | None, str, str]]:
    return parts(read(data if isinstance(data, bytes) else data.encode(), content_type))


@pytest.mark.parametrize("content_type", files.samples())
def test_sections_are_ordered_and_only_white_space_stands_between_them(content_type):
    document = read(files.samples()[content_type][1], content_type)
    done = 0
    for section in document.sections:
        assert not document.text[done : section.start].strip()
        assert document.text[section.start : section.end].strip()
        done = section.end
    assert done == len(document.text)
    assert "Ada Lovelace" in document.text


# PDF


def test_each_pdf_page_is_a_section_with_its_number():
    assert parts_of(files.pdf(["One", "", "Three (and more)"]), files.PDF) == [
        (1, "", "One"),
        (3, "", "Three (and more)"),
    ]


def test_pdf_bookmarks_divide_a_page_where_their_title_stands():
    pages = ["Preface\nThanks\nFirst things\nHello", "Still the first", "Second things\nBye"]
    data = files.pdf(pages, outline=[("First things", 1), ("Second things", 3)])
    assert parts_of(data, files.PDF) == [
        (1, "", "Preface\nThanks"),
        (1, "First things", "First things\nHello"),
        (2, "First things", "Still the first"),
        (3, "Second things", "Second things\nBye"),
    ]


def test_pdf_lines_of_a_paragraph_are_joined_and_those_of_a_list_are_not():
    page = "This paragraph goes on to\nthe line below and ends.\nAlpha\nBeta"
    assert parts_of(files.pdf([page]), files.PDF)[0][2] == (
        "This paragraph goes on to the line below and ends.\nAlpha\nBeta"
    )


def test_pdf_words_broken_at_a_line_end_are_whole_and_compounds_keep_their_hyphen():
    assert (
        "consectetuer word"
        in read(files.pdf(["a line ends in con-\nsectetuer word"]), files.PDF).text
    )
    assert "Black-White there" in read(files.pdf(["In Black-\nWhite there"]), files.PDF).text


def test_a_pdf_without_its_page_tree_is_read_from_the_pages_that_survived():
    assert parts_of(files.pdf_without_page_tree(), files.PDF) == [
        (1, "", "Saved from the wreck"),
        (2, "", "And this too"),
    ]


# DOCX


def test_word_headings_make_a_path_and_tables_stand_where_they_stood():
    blocks = [
        ("Title", "Manual"),
        ("Heading 1", "Setup"),
        ("Normal", "Before"),
        ("Table", [["Part", "Count"], ["Screw", "4"]]),
        ("Normal", "After"),
        ("Heading 2", "Tools"),
        ("Normal", "Hammer"),
        ("Heading 1", "Use"),
    ]
    assert parts_of(files.docx(blocks), files.DOCX) == [
        (None, "Manual", "Manual"),
        (None, "Manual > Setup", "Setup\n\nBefore"),
        (None, "Manual > Setup", "Part | Count\nScrew | 4"),
        (None, "Manual > Setup", "After"),
        (None, "Manual > Setup > Tools", "Tools\n\nHammer"),
        (None, "Manual > Use", "Use"),
    ]


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def word(body: str) -> bytes:
    document = f"<w:document {W}><w:body>{body}</w:body></w:document>"
    return files.with_member(files.docx([]), "word/document.xml", document)


def test_word_shows_insertions_and_content_controls_but_not_deletions():
    run = "<w:r><w:t>{}</w:t></w:r>"
    deleted = "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
    body = (
        f"<w:p>{run.format('kept ')}<w:ins>{run.format('added')}</w:ins>{deleted}</w:p>"
        f"<w:sdt><w:sdtContent><w:p>{run.format('controlled')}</w:p></w:sdtContent></w:sdt>"
    )
    assert read(word(body), files.DOCX).text == "kept added\ncontrolled"


def test_a_word_text_box_is_read_once_and_tab_stops_are_no_text():
    box = "<w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent>"
    mc = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    both = f"<mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
    body = (
        "<w:p><w:r><w:t>above</w:t></w:r></w:p>"
        '<w:p><w:pPr><w:tabs><w:tab w:pos="720"/></w:tabs></w:pPr><w:r><w:t>text</w:t></w:r>'
        f'<w:r><mc:AlternateContent xmlns:mc="{mc}">{both}</mc:AlternateContent></w:r></w:p>'
    )
    assert read(word(body), files.DOCX).text == "above\ntext\nboxed"


def test_a_word_paragraph_with_an_outline_level_of_its_own_is_a_heading():
    heading = '<w:p><w:pPr><w:outlineLvl w:val="1"/></w:pPr><w:r><w:t>Deep</w:t></w:r></w:p>'
    assert parts_of(word(heading), files.DOCX) == [(None, "Deep", "Deep")]


def test_a_table_inside_a_table_is_read_once():
    inner = "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>inside</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
    outer = f"<w:tbl><w:tr><w:tc>{inner}<w:p/></w:tc></w:tr></w:tbl>"
    assert read(word(outer), files.DOCX).text == "inside"


# PPTX, XLSX, CSV


def test_each_slide_is_a_page_with_its_title_grouped_text_and_notes():
    slides = [("Start", "Welcome", ""), ("", "", ""), ("End", "Bye", "Smile")]
    assert parts_of(files.pptx(slides), files.PPTX) == [
        (1, "Start", "Start\n\nWelcome"),
        (3, "End", "End\n\nBye\n\nNotes: Smile"),
    ]


def test_each_sheet_is_a_section_apart_whose_rows_know_their_columns():
    sheets = {
        "Stock": [["Stock list"], [], ["Part", "Count"], ["Screw", 4.0], ["Nut", None]],
        "Empty": [],
        "Notes": [["just text"]],
    }
    document = read(files.xlsx(sheets), files.XLSX)
    assert parts(document) == [
        (None, "Stock", "Stock list\nPart | Count\nScrew | 4\nNut |"),
        (None, "Notes", "just text"),
    ]
    assert all(section.apart for section in document.sections)
    assert [section.context for section in document.sections] == ["Part | Count", ""]


def test_a_sheet_that_declares_to_be_huge_is_read_by_its_real_cells():
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        '<dimension ref="A1:XFD1048576"/><sheetData>'
        + "".join(f'<row r="{n}"><c r="A{n}"><v>{n}</v></c></row>' for n in range(1, 201))
        + "</sheetData></worksheet>"
    )
    data = files.with_member(files.xlsx({"A": []}), "xl/worksheets/sheet1.xml", sheet)
    assert read(data, files.XLSX).text.endswith("199\n200")


def test_csv_rows_know_their_columns_only_when_the_first_row_is_a_header():
    document = read(b"name;born\nAda;1815\n\nGrace;1906\n", files.CSV)
    assert document.text == "name | born\nAda | 1815\nGrace | 1906"
    assert document.sections[0].context == "name | born"
    document = read(b"Ada,London\nGrace,New York\n", files.CSV)
    assert document.text == "Ada | London\nGrace | New York"
    assert document.sections[0].context == ""


def test_csv_keeps_line_breaks_and_delimiters_inside_quotes_in_their_row():
    assert read(b'a,b\n"x\ny, z",2\n', files.CSV).text == "a | b\nx y, z | 2"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'a,b\n"never closed,1\n', 'a | b\n"never closed | 1'),
        (b'"never, closed\nand, on, it, goes\nso\n', '"never, closed\nand, on, it, goes\nso'),
        (b'size,n\n5" pipe,3\n', 'size | n\n5" pipe | 3'),
        (b'who,said\nAda,"He said \\"hi\\", twice"\n', 'who | said\nAda | He said "hi", twice'),
        (b"sep=;\nx;y\n1,5;2,5\n", "x | y\n1,5 | 2,5"),
        (b'Comment\n"Great, really"\n"Bad, never"\n', "Comment\nGreat, really\nBad, never"),
        (b"Great, really\nBad\nNever, ever, again\n", "Great, really\nBad\nNever, ever, again"),
        (
            b"n,t\n" + b"1,x\n" * 90_000 + b'2,"a ""b"", c"\n',
            "n | t\n" + "1 | x\n" * 90_000 + '2 | a "b", c',
        ),
    ],
)
def test_the_cells_of_a_csv_are_told_apart(data, text):
    assert read(data, files.CSV).text == text
