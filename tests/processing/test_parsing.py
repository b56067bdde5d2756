"""Every format, read in this process: the text, and where it stands. The child is tested in
test_parsing_sandbox.py.
"""

import io

import pytest

from processing.parsing import ParsedDocument, Section
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
        (None, "Manual > Setup", "Setup\n\nBefore\nPart | Count\nScrew | 4\n\nAfter"),
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


def test_each_sheet_is_a_section_apart_whose_rows_name_their_columns():
    sheets = {
        "Stock": [["Stock list"], [], ["Part", "Count"], ["Screw", 4.0], ["Nut", None]],
        "Empty": [],
        "Notes": [["just text"]],
    }
    document = read(files.xlsx(sheets), files.XLSX)
    assert parts(document) == [
        (None, "Stock", "Stock list\nPart | Count\nPart: Screw | Count: 4\nPart: Nut"),
        (None, "Notes", "just text"),
    ]
    assert all(section.apart for section in document.sections)


def test_csv_rows_name_their_columns_only_when_the_first_row_is_a_header():
    with_header = "name;born\nAda;1815\n\nGrace;1906\n"
    assert read(with_header.encode(), files.CSV).text == (
        "name | born\nname: Ada | born: 1815\nname: Grace | born: 1906"
    )
    assert read(b"Ada,London\nGrace,New York\n", files.CSV).text == "Ada | London\nGrace | New York"


def test_csv_keeps_line_breaks_and_delimiters_inside_quotes_in_their_row():
    assert read(b'a,b\n"x\ny, z",2\n', files.CSV).text == "a | b\na: x y, z | b: 2"


def test_a_csv_with_an_open_quote_is_read_as_text():
    assert read(b'a,b\n"never closed,1\n', files.CSV).text == 'a,b\n"never closed,1'


# Markdown


def test_markdown_headings_of_both_kinds_make_a_path():
    source = (
        "Intro\n\n# One #\ntext\n\n## *Two* [link](u)\nmore\n\nThree\n=====\nend\n\nFour\n---\n"
    )
    assert [(heading, text) for _, heading, text in parts_of(source, files.MARKDOWN)] == [
        ("", "Intro"),
        ("One", "# One #\ntext"),
        ("One > Two link", "## *Two* [link](u)\nmore"),
        ("Three", "Three\n=====\nend"),
        ("Three > Four", "Four\n---"),
    ]


@pytest.mark.parametrize(
    "source",
    [
        "```sh\n# a comment\n```",
        "~~~~\n# a\n~~~\n# b\n~~~~",
        "    # indented code",
        "#hashtag",
        "- item\n---",
        "| a | b |\n---",
        "two lines\nof text\n---",
        "```\nnever closed\n# a",
    ],
)
def test_markdown_that_only_looks_like_a_heading_is_none(source):
    assert {heading for _, heading, _ in parts_of("x\n\n" + source, files.MARKDOWN)} == {""}


def test_markdown_front_matter_is_a_section_without_heading():
    source = "---\ntitle: Tea\n---\n# One\n"
    assert parts_of(source, files.MARKDOWN) == [
        (None, "", "---\ntitle: Tea\n---"),
        (None, "One", "# One"),
    ]


# HTML, EPUB


def test_html_leaves_out_the_machinery_and_follows_the_headings():
    page = (
        "<title>Site</title><nav>Home</nav><script>x()</script><style>y{}</style><p hidden>no</p>"
        "<h1>Top <em>story</em></h1><p>One\n  two <b>three</b>.</p><h3>Deep</h3>"
        "<ul><li>a<li>b</ul><pre>  x\n  y</pre>"
    )
    assert parts_of(page, files.HTML) == [
        (None, "Top story", "Top story\n\nOne two three."),
        (None, "Top story > Deep", "Deep\n\n- a\n- b\n\n  x\n  y"),
    ]


def test_html_table_rows_are_lines():
    page = "<table><tr><th>Part<th>Count<tr><td><div>Screw</div><td>4<tr><td><td>5</table>"
    assert parts_of(page, files.HTML) == [(None, "", "Part | Count\nScrew | 4\n5")]


def test_the_title_of_an_html_page_stands_in_for_missing_headings():
    page = "<title>News</title><p>It rains."
    assert parts_of(page, files.HTML) == [(None, "News", "News\n\nIt rains.")]
    assert parts_of(page + "<h2>Later</h2>Sun", files.HTML)[0] == (None, "", "It rains.")


def test_html_reads_the_main_element_unless_it_is_an_empty_shell():
    text = "word " * 60
    assert "menu" not in read(f"<div>menu</div><main>{text}</main>".encode(), files.HTML).text
    assert "menu" in read(b"<div>menu</div><main>loading</main>", files.HTML).text


def test_epub_chapters_come_in_the_order_of_the_spine_under_one_path():
    chapters = ["<h1>One</h1><p>first</p>", "<img/>", "<h2>Sub</h2>second", "no heading"]
    assert parts_of(files.epub(chapters), files.EPUB) == [
        (None, "One", "One\n\nfirst"),
        (None, "One > Sub", "Sub\n\nsecond"),
        (None, "A Book", "A Book\n\nno heading"),
    ]


# Text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Füße".encode(), "Füße"),
        ("Füße".encode("utf-8-sig"), "Füße"),
        ("Füße".encode("utf-16"), "Füße"),
        ("plain western text".encode("utf-16-le"), "plain western text"),
        ("Die Füße der Bären sind größer als gedacht.".encode("cp1252"), None),
        ("名前,年齢,住所\n佐藤太郎,30,東京\n三木英子,25,大阪\n".encode("cp932"), None),
        (b"one\r\ntwo\rthree  \n\n\n\nfour\n", "one\ntwo\nthree\n\nfour"),
        (b"nul \x00 and bell \x07 go", "nul  and bell  go"),
        (b"a lone surrogate \xed\xa0\x80 here", "a lone surrogate \ufffd here"),
        (b"a pair \xed\xa0\xbd\xed\xb8\x80 too", "a pair \U0001f600 too"),
        ("soft\u00adhyphen".encode(), "softhyphen"),
        ("ü".encode() * 50 + b"\xff" + "ü".encode() * 50, "ü" * 50 + "\ufffd" + "ü" * 50),
    ],
)
def test_text_is_decoded_and_cleaned(data, text):
    expected = text or data.decode("cp932" if data[0] > 0x80 else "cp1252").strip()
    assert read(data, files.TEXT).text == expected


def test_html_is_decoded_by_its_own_declaration():
    page = "<meta charset=koi8-r><p>мир".encode("koi8-r")
    assert read(page, files.HTML).text == "мир"


def test_an_endless_run_of_spaces_is_cleaned_in_linear_time():
    text = "a" + " " * 2_000_000 + "b"
    assert read(text.encode(), files.TEXT).text == text


def test_a_section_is_a_place_in_the_text():
    assert read(b"  here \n", files.TEXT).sections == (Section(0, 4, None, ""),)
