"""Markdown, HTML, EPUB and plain text, read in this process: their text, headings and encodings."""

import pytest

from processing.errors import PermanentError
from processing.parsing import Section
from tests.processing import files
from tests.processing.test_parsing import parts_of, read

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
        (None, "", "Site"),
        (None, "Top story", "Top story\n\nOne two three."),
        (None, "Top story > Deep", "Deep\n\n- a\n- b\n\n  x\n  y"),
    ]


def test_html_table_rows_are_lines():
    page = "<table><tr><th>Part<th>Count<tr><td><div>Screw</div><td>4<tr><td><td>5</table>"
    assert parts_of(page, files.HTML) == [(None, "", "Part | Count\nScrew | 4\n | 5")]


def test_the_title_of_an_html_page_stands_in_for_its_main_heading():
    page = "<title>News</title><p>It rains."
    assert parts_of(page, files.HTML) == [(None, "News", "News\n\nIt rains.")]
    assert parts_of(page + "<h2>Later</h2>Sun", files.HTML) == [
        (None, "News", "News\n\nIt rains."),
        (None, "News > Later", "Later\n\nSun"),
    ]
    assert parts_of("<title>News</title><h1>News</h1>Sun", files.HTML) == [
        (None, "News", "News\n\nSun")
    ]


def test_a_page_of_nothing_but_a_title_has_no_text():
    with pytest.raises(PermanentError):
        read(b"<title>Loading</title><div id=app></div><script>x</script>", files.HTML)


def test_html_reads_the_main_element_unless_it_is_an_empty_shell():
    text = "word " * 60
    assert "menu" not in read(f"<div>menu</div><main>{text}</main>".encode(), files.HTML).text
    assert "menu" in read(b"<div>menu</div><main>loading</main>", files.HTML).text


def test_epub_chapters_come_in_the_order_of_the_spine_under_one_path():
    chapters = ["<h1>One</h1><p>first</p>", "<img/>", "<h2>Sub</h2>second", "no heading"]
    assert parts_of(files.epub(chapters), files.EPUB) == [
        (None, "One", "One\n\nfirst"),
        (None, "One > Sub", "Sub\n\nsecond"),
        (None, "One > Sub", "no heading"),
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
