"""Markdown, HTML, EPUB and plain text, read in this process: their text, headings and encodings."""

import pytest

from processing.errors import PermanentError
from processing.parsing import Section, Unread
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


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<x-a><template shadowrootmode=open>shadow</template></x-a>light", "shadow\nlight"),
        ("<template><p>inert</template><p>shown", "shown"),
        ("<iframe srcdoc='&lt;p&gt;framed'></iframe><p>after", "framed\n\nafter"),
        ("<button>How?</button><div hidden=until-found>So.</div>", "How?\nSo."),
        ("<button aria-controls=a>Q</button><div id=a hidden>A</div><p hidden>no", "Q\nA"),
        ("<div role=tabpanel hidden>Second tab</div>", "Second tab"),
        ("<details><summary>Who pays?</summary><p>We do.</details>", "Who pays?\n\nWe do."),
        ("<p>x<noscript>Enable JavaScript.</noscript><noscript><p>Open.</noscript>", "x\n\nOpen."),
        ("<label>Name <input value='Ada'></label><input type=hidden value=secret>", "Name Ada"),
        ("<select><option>A<option selected>B</select><button type=submit>Go</button>", "B"),
        ("<textarea>as\n  typed</textarea>", "as\n  typed"),
        ("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby>字", "漢字"),
        ("<svg><title>icon</title><text>Boiler</text><text>Tank</text></svg>", "Boiler\nTank"),
        ("<math><mi>x</mi><annotation>\\x</annotation></math>", "x"),
        ("<img src=x alt='A chart of sales'>", "A chart of sales"),
        ("<p>It&#146;s &#128;50", "It’s €50"),
        ("<p>10<sup>6</sup> m<sup>2</sup> the 5<sup>th</sup><sup>1</sup>", "10^6 m2 the 5th1"),
        ("<ol start=3><li>c<li>d<ol type=a><li>x<li value=5>y</ol></ol>", "3. c\n4. d\na. x\ne. y"),
        ("<input type=checkbox checked>Yes <input type=radio>No", "☑ Yes ○ No"),
        (
            "<table><tr><th>Name<th>Can<tr><td>Ada<td><ul><li>x<li>y</ul><tr><td>Bo<td>z</table>",
            "Name | Can\nAda | - x - y\nBo | z",
        ),
        ("<p>un<wbr>break<wbr>able soft&shy;ware H<sub>2</sub>O", "unbreakable software H2O"),
        ("<dl><dt>Grue<dd>A beast.</dl>", "Grue\nA beast."),
        ("<fieldset><legend>Home</legend><label>City</label><input value=Rome>", "Home\nCity Rome"),
        ("<select multiple><option selected>A<option selected>B</select>", "A\nB"),
        ("A<span style='display:block'>B</span>C<b style='display:inline'>D</b>", "A\nB\nCD"),
        ("<style>.r{display:flex}</style><p class=r><b>Price</b><i>10</i>", "Price\n10"),
        (
            "<style>.b{display:block}</style><table><tr><td>a<td>b<i class=b>c</i>d<tr><td>e<td>f",
            "a | b c d\ne | f",
        ),
        ("<ol reversed><li>b<li>a</ol><ol reversed start=9><li>x<li>y", "2. b\n1. a\n9. x\n8. y"),
        ("<math><mfrac><mi>a</mi><mi>b</mi></mfrac><mo>&lt;</mo><mn>1</mn></math>.", "a/b < 1."),
        (
            "<table><thead><tr><th rowspan=2>A<th>B</thead><tr><td rowspan=0>1<td>2<tr><td>3",
            "A | B\n1 | 2\n| 3",
        ),
    ],
)  # fmt: skip
def test_html_shows_what_a_person_sees_or_can_open(body, text):
    assert read(body.encode(), files.HTML).text == text


def test_a_heading_may_be_one_by_its_role():
    page = "<h1>Top</h1>a<div role=heading aria-level=2>Sub</div>b<span role=heading>Next</span>c"
    assert [(path, text) for _, path, text in parts_of(page, files.HTML)] == [
        ("Top", "Top\n\na"),
        ("Top > Sub", "Sub\nb"),
        ("Top > Next", "Next\nc"),
    ]


def test_a_page_of_frames_says_that_they_are_other_files():
    page = "<frameset cols=2><frame src=a.html><frame src=b.html><noframes>{}</noframes></frameset>"
    document = read(page.format("<body><p>See <b>all</b>.</body>").encode(), files.HTML)
    assert document.text == "See all."
    assert document.unread == (Unread("included_file", count=2),)
    with pytest.raises(PermanentError, match="2 files that it names as parts of it") as error:
        read(page.format("").encode(), files.HTML)
    assert error.value.code == "no_text"


def test_an_answer_below_a_heading_that_is_a_button_is_cited_by_it():
    page = "<h1>Help</h1><h3><button>How long?</button></h3><p>Five years."
    assert parts_of(page, files.HTML)[-1] == (None, "Help > How long?", "How long?\n\nFive years.")


def test_html_tables_keep_every_cell_in_its_place():
    page = (
        "<table><caption>Visits</caption><thead><tr><th rowspan=2>Site<th colspan=2>2024"
        "<tr><th>Q1<th>Q2</thead><tr><td rowspan=2>North<td>1<td>2<tr><td><td>4<tr><td>South"
        "</table>"
    )
    document = read(page.encode(), files.HTML)
    assert document.text == (
        "Visits\n\nSite | 2024 |\n| Q1 | Q2\nNorth | 1 | 2\n|  | 4\nSouth |  |"
    )
    assert [section.context.split("\n") for section in document.sections][1:3] == [
        ["Site | 2024 Q1 | 2024 Q2"],
        ["North", "Site | 2024 Q1 | 2024 Q2"],
    ]


def test_a_table_that_lays_out_a_page_is_none():
    page = "<table><tr><td><h2>News</h2><p>It rains.<td>menu</table>"
    assert parts_of(page, files.HTML) == [(None, "News", "News\n\nIt rains.\n\nmenu")]


def test_markdown_tables_keep_their_columns_names_and_html_in_it_is_read():
    source = (
        "+++\ntitle = 'x'\n+++\n# One\nText\n| Part | Count |\n|:-----|------:|\n| Nut | 4 |\n\n"
        "<div align=center><h2>Sub</h2></div>\n\n![p](data:image/png;base64,AAAA+/=) end\n"
        "<!-- hidden\nremark --> shown\n```\n<!-- code --> <div>\n| a | b |\n|---|---|\n```\n"
    )
    document = read(source.encode(), files.MARKDOWN)
    assert [
        (heading, document.text[s.start : s.end], s.context)
        for s, heading in ((s, s.heading) for s in document.sections)
    ] == [
        ("", "+++\ntitle = 'x'\n+++", ""),
        ("One", "# One\nText", ""),
        ("One", "| Part | Count |\n|:-----|------:|\n| Nut | 4 |", "Part | Count"),
        ("One > Sub", "Sub", ""),
        (
            "One > Sub",
            "![p]() end\n\n shown\n```\n<!-- code --> <div>\n| a | b |\n|---|---|\n```",
            "",
        ),
    ]


def test_html_in_markdown_may_go_on_over_empty_lines_and_headings_have_no_marks():
    source = (
        "# C\\# &amp; `F\\#` \\*\n<pre>\na\n\n# none\n</pre>\n<script>\n\nx()\n</script>\nend\n"
        "\n<pre>never closed\n\n# Last\n"
    )
    assert [(path, text) for _, path, text in parts_of(source, files.MARKDOWN)] == [
        ("C# & F# *", "# C\\# &amp; `F\\#` \\*"),
        ("C# & F# *", "a\n\n# none"),
        ("C# & F# *", "end\n\n<pre>never closed"),
        ("Last", "# Last"),
    ]


def test_a_comment_that_never_ends_hides_nothing():
    assert read(b"before <!-- open\n\nafter", files.MARKDOWN).text == "before <!-- open\n\nafter"


def test_html_table_rows_are_lines():
    page = "<table><tr><th>Part<th>Count<tr><td><div>Screw</div><td>4<tr><td><td>5</table>"
    assert parts_of(page, files.HTML) == [(None, "", "Part | Count\nScrew | 4\n| 5")]


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


RULES = """<style>/* .p{display:none} */ .gone, #away {color: red; display: none} .gone.open
{display: block} p.pale {visibility: hidden} @media print {.shown {display: none}}</style>"""


@pytest.mark.parametrize(
    ("page", "text", "count"),
    [
        ("<p>a<span style='COLOR:red; Display : None !important'>b</span>", "a", 1),
        (f"{RULES}<p class=gone>b<p class=shown>a", "a", 1),
        (f"{RULES}<p id=away>b<p class=pale>c<div class=pale>a</div>", "a", 2),
        (f"{RULES}<p class='gone open'>a<p class=gone style='display:block'>b", "a\n\nb", 0),
        (f"{RULES}<p>a<div class=gone><p>b</div><table class=gone><tr><td>c<td>d</table>", "a", 2),
        # Who sees the page sees this, too.
        ("Shop <i aria-hidden=true>and save</i>", "Shop and save", 0),
        ("<style media=print>p {display: none}</style><p>a", "a", 0),
        ("a<div style='display:none'> … </div>", "a", 0),  # says nothing
        # What a click shows.
        ("""<a onclick="show('q')">Q</a><p id=q style="display:none">A""", "Q\n\nA", 0),
        ("<a href='#t'>Tab</a><div id=t style='display:none'>a</div>", "Tab\na", 0),
    ],
)
def test_what_a_page_hides_by_styles_is_said_and_not_read(page, text, count):
    document = read(page.encode(), files.HTML)
    assert document.text == text
    assert sum(entry.count for entry in document.unread) == count
    assert {entry.kind for entry in document.unread} <= {"hidden_part"}


def test_rows_and_cells_that_a_table_hides_are_none_of_its_places():
    page = (
        "<table><tr><th>A<th hidden>B<th>C<tr style='display:none'><td>x<td>y<td>z"
        "<tr><td>1<td hidden>2<td>3<tbody hidden><tr><td>4<td>5<td>6</table>"
    )
    document = read(page.encode(), files.HTML)
    assert document.text == "A | C\n1 | 3"
    assert document.unread == (Unread("hidden_part", "", 4),)
