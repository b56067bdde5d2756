"""OpenDocument: texts, presentations and spreadsheets, as archives and as one file."""

import base64

import pytest

from processing.errors import PermanentError
from processing.parsing import Unread, sentences
from tests.processing import files, scans
from tests.processing.test_parsing import parts, parts_of, read

BODY = """<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>
<text:h text:outline-level="1">People</text:h>
<text:p>Ada<text:s text:c="2"/>and <text:span>Bob</text:span><text:tab/>x<text:line-break/>y
<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>A note</text:p>
</text:note-body></text:note><office:annotation><text:p>Remark</text:p></office:annotation></text:p>
<text:list text:style-name="L"><text:list-item><text:p>first</text:p><text:list><text:list-item>
<text:p>inner</text:p></text:list-item></text:list></text:list-item>
<text:list-item><text:p>second</text:p></text:list-item></text:list>
<table:table><table:table-header-rows><table:table-row><table:table-cell><text:p>Part</text:p>
</table:table-cell><table:table-cell><text:p>Count</text:p></table:table-cell></table:table-row>
</table:table-header-rows><table:table-row><table:table-cell><text:p>Screw</text:p>
</table:table-cell><table:table-cell><text:p>4</text:p></table:table-cell></table:table-row>
</table:table>
<text:h text:outline-level="2">Sub</text:h><text:p>Before<draw:frame svg:width="9cm"
 svg:height="9cm"><svg:desc>A map</svg:desc><draw:image xlink:href="x.png"/></draw:frame> after
<draw:frame><draw:text-box><text:p>In a box</text:p></draw:text-box></draw:frame></text:p>"""
STYLES = (
    '<office:styles><text:list-style style:name="L"><text:list-level-style-number text:level="1"'
    ' style:num-format="1" style:num-suffix="."/></text:list-style></office:styles>'
)
EXPECTED = [
    (None, "People", "People\nAda  and Bob\tx\ny\n1. first\n- inner\n2. second"),
    (None, "People", "Part | Count\nScrew | 4"),
    (None, "People > Sub", "Sub\nBefore after\nA map\nIn a box"),
    (None, "Footnotes", "1 A note"),
    (None, "Comments", "Remark"),
]


@pytest.mark.parametrize("flat", [False, True])
def test_a_text_has_headings_lists_tables_notes_and_boxes(flat):
    data = files.open_document("text", BODY, before=STYLES, flat=flat)
    document = read(data, files.ODT)
    assert parts(document) == EXPECTED
    assert document.unread == (Unread("picture"),)


def test_a_picture_in_a_header_is_not_passed_over_without_a_word():
    picture = base64.b64encode(scans.encoded(scans.page("Letterhead", dpi=40))).decode()
    before = f"""<office:master-styles><style:master-page><style:header><text:p><draw:frame
    svg:width="9cm" svg:height="9cm"><draw:image><office:binary-data>{picture}</office:binary-data>
    </draw:image></draw:frame></text:p></style:header></style:master-page></office:master-styles>"""
    data = files.open_document("text", "<text:p>Body</text:p>", before=before, flat=True)
    assert read(data, files.ODT).unread == (Unread("picture"),)


def test_slides_have_numbers_titles_and_notes():
    body = """<draw:page><draw:frame><draw:text-box><text:p>Said</text:p></draw:text-box>
    </draw:frame><draw:frame presentation:class="title"><draw:text-box><text:p>Top</text:p>
    </draw:text-box></draw:frame><draw:g><draw:custom-shape><text:p>Shape</text:p>
    </draw:custom-shape></draw:g><presentation:notes><draw:frame presentation:class="notes">
    <draw:text-box><text:p>Say it slowly</text:p></draw:text-box></draw:frame></presentation:notes>
    </draw:page><draw:page><draw:frame svg:width="20cm" svg:height="15cm"><draw:image/>
    </draw:frame></draw:page>"""
    document = read(files.open_document("presentation", body), files.ODP)
    assert parts(document) == [(1, "Top", "Top\n\nSaid\nShape\nSay it slowly")]
    assert document.unread == (Unread("image_page", "page 2"),)


def test_what_is_hidden_is_said_and_a_field_of_the_title_is_read():
    styles = (
        "<office:automatic-styles>"
        '<style:style style:name="a" style:family="text"><style:text-properties'
        ' text:display="none"/></style:style><style:style style:name="b" style:family="text"'
        ' style:parent-style-name="a"/><style:style style:name="c" style:family="paragraph"'
        ' style:parent-style-name="a"/></office:automatic-styles>'
    )
    body = (
        '<text:p text:style-name="c">Seen <text:span text:style-name="b">veiled</text:span> of'
        ' <text:title>The Field</text:title></text:p><text:section text:display="none"><text:p>gone'
        '</text:p></text:section><text:p>End<text:span text:style-name="a"> </text:span></text:p>'
    )
    document = read(files.open_document("text", body, before=styles), files.ODT)
    assert document.text == "Seen  of The Field\nEnd"
    assert document.unread == (Unread("hidden_part", count=2),)


CHART = """<chart:chart xmlns:chart="urn:oasis:names:tc:opendocument:xmlns:chart:1.0"><chart:title>
<text:p>Tonnage</text:p></chart:title><table:table><table:table-row><table:table-cell><text:p>Coal
</text:p></table:table-cell><table:table-cell><text:p>11</text:p></table:table-cell>
</table:table-row></table:table></chart:chart>"""
FORMULA = """<math:math xmlns:math="http://www.w3.org/1998/Math/MathML"><math:semantics><math:mrow>
<math:mi>speed</math:mi><math:mo>=</math:mo><math:mfrac><math:mi>way</math:mi><math:msup>
<math:mi>time</math:mi><math:mn>2</math:mn></math:msup></math:mfrac><math:mi>per</math:mi>
<math:mi>day</math:mi></math:mrow><math:annotation>speed = {way} over</math:annotation>
</math:semantics></math:math>"""


def test_charts_and_formulas_stand_where_they_are_shown():
    def shown(name: str) -> str:
        return f'<draw:frame><draw:object xlink:href="./{name}"/></draw:frame>'

    body = (
        f'<text:h text:outline-level="1">One</text:h><text:p>A{shown("C")}</text:p>'
        f"<table:table><table:table-row><table:table-cell><text:p>x{shown('F')}</text:p>"
        f"</table:table-cell></table:table-row></table:table><text:p>{shown('X')}</text:p>"
        f'<text:h text:outline-level="1">Two</text:h><text:p>{shown("C")}</text:p>'
    )
    data = files.open_document("text", body)
    inner = files.members(files.open_document("chart", CHART))["content.xml"]
    data = files.with_member(data, "C/content.xml", inner)
    document = read(files.with_member(data, "F/content.xml", FORMULA), files.ODT)
    assert parts(document) == [
        (None, "One", "One\nA\nTonnage"),
        (None, "One", "Coal | 11"),
        (None, "One", "x"),
        (None, "One", "speed = way/(time^2) per day"),
        (None, "Two", "Two"),
    ]
    assert document.unread == (Unread("embedded_file"),)


def test_charts_and_files_in_a_footnote_are_read_and_reported_too():
    def shown(name: str) -> str:
        return f'<draw:frame><draw:object xlink:href="./{name}"/></draw:frame>'

    body = (
        "<text:p>A<text:note><text:note-citation>1</text:note-citation><text:note-body>"
        f"<text:p>See {shown('C')}{shown('X')}</text:p></text:note-body></text:note></text:p>"
    )
    inner = files.members(files.open_document("chart", CHART))["content.xml"]
    data = files.with_member(files.open_document("text", body), "C/content.xml", inner)
    document = read(data, files.ODT)
    assert document.text.endswith("See\n\nTonnage\n\nCoal | 11")
    assert document.unread == (Unread("embedded_file"),)


def test_all_that_is_written_on_the_page_of_a_slide_s_notes_is_read():
    body = """<draw:page><presentation:notes><draw:page-thumbnail/><draw:frame><draw:text-box>
    <text:p>Beside</text:p></draw:text-box></draw:frame><draw:frame presentation:class="footer">
    <draw:text-box><text:p>Never</text:p></draw:text-box></draw:frame></presentation:notes>
    </draw:page>"""
    assert parts_of(files.open_document("presentation", body), files.ODP) == [(1, "", "Beside")]


def test_lists_and_headings_have_the_numbers_that_are_shown():
    levels = (
        '<text:list-level-style-number text:level="1" style:num-format="1" style:num-suffix="."/>'
        '<text:list-level-style-number text:level="2" style:num-format="a" style:num-suffix=")"'
        ' text:display-levels="2"/><text:list-level-style-bullet text:level="3"/>'
    )
    outline = (
        '<text:outline-level-style text:level="1" style:num-format="I"/>'
        '<text:outline-level-style text:level="2" style:num-format="1" text:display-levels="2"/>'
    )
    styles = (
        f'<office:styles><text:list-style style:name="L">{levels}</text:list-style>'
        f"<text:outline-style>{outline}</text:outline-style></office:styles>"
    )

    def items(*texts: str, attributes: str = "", start: str = "") -> str:
        made = "".join(f"<text:list-item {start}>{text}</text:list-item>" for text in texts)
        return f'<text:list text:style-name="L" {attributes}>{made}</text:list>'

    def p(text: str) -> str:
        return f"<text:p>{text}</text:p>"

    inner = f"<text:list><text:list-item>{p('sub')}<text:list><text:list-item>{p('point')}"
    inner += "</text:list-item></text:list></text:list-item></text:list>"
    body = (
        '<text:h text:outline-level="1">Top</text:h><text:h text:outline-level="2">Low</text:h>'
        + '<text:h text:outline-level="1" text:is-list-header="true">Bare</text:h>'
        + items(p("one"), p("two") + p("goes on") + inner, p("three"))
        + items(p("anew"))
        + items(f"<text:list><text:list-item>{p('deep')}</text:list-item></text:list>",
                attributes='text:continue-numbering="true"')
        + items(p("eight"), start='text:start-value="8"', attributes='xml:id="x"')
        + items(p("nine"), attributes='text:continue-list="x"')
    )  # fmt: skip
    document = read(files.open_document("text", body, before=styles), files.ODT)
    assert [heading for _, heading, _ in parts(document)] == ["I Top", "I Top > I.1 Low", "Bare"]
    assert parts(document)[-1][2].splitlines() == [
        "Bare", "1. one", "2. two", "goes on", "2.a) sub", "- point", "3. three", "1. anew",
        "1.a) deep", "8. eight", "9. nine",
    ]  # fmt: skip


def test_sheets_have_names_values_and_gaps_and_hidden_ones_are_said():
    body = """<table:table table:name="One"><table:table-row><table:table-cell><text:p>Name</text:p>
    </table:table-cell><table:table-cell><text:p>Share</text:p></table:table-cell></table:table-row>
    <table:table-row><table:table-cell><text:p>Ada</text:p></table:table-cell><table:table-cell
     office:value-type="percentage" office:value="0.15"><text:p>15%</text:p></table:table-cell>
    <table:table-cell table:number-columns-repeated="16000"/></table:table-row>
    <table:table-row table:number-rows-repeated="1048000"><table:table-cell/></table:table-row>
    <table:table-row><table:table-cell table:number-columns-spanned="2"><text:p>Wide</text:p>
    </table:table-cell><table:covered-table-cell/></table:table-row></table:table>
    <table:table table:name="Two" table:style-name="gone"><table:table-row><table:table-cell>
    <text:p>secret</text:p></table:table-cell></table:table-row></table:table>"""
    styles = (
        '<office:automatic-styles><style:style style:name="gone"><style:table-properties '
        'table:display="false"/></style:style></office:automatic-styles>'
    )
    document = read(files.open_document("spreadsheet", body, before=styles), files.ODS)
    assert parts(document) == [(None, "One", "Name | Share\nAda | 15%\nWide |")]
    assert document.unread == (Unread("hidden_sheet", "sheet Two"),)


def test_headers_and_footers_are_said_once():
    margin = "<style:header><text:p>Top</text:p></style:header>"
    pages = f"<style:master-page>{margin}</style:master-page>" * 2
    styles = files.open_document("text", "", flat=True).replace(
        b"<office:body>",
        f"<office:master-styles>{pages}</office:master-styles>".encode() + b"<office:body>",
    )
    data = files.with_member(files.samples()[files.ODT][1], "styles.xml", styles)
    assert [text for _, _, text in parts_of(data, files.ODT)][1:] == ["Top"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("META-INF/manifest.xml", "<m:encryption-data/>", sentences.ENCRYPTED),
        ("content.xml", "<broken", sentences.DAMAGED),
        ("content.xml", "<a/>", sentences.DAMAGED),
    ],
)
def test_a_password_and_damage_are_said(name, content, sentence):
    with pytest.raises(PermanentError) as caught:
        read(files.with_member(files.samples()[files.ODT][1], name, content), files.ODT)
    assert caught.value.sentence == sentence


def test_hidden_rows_and_columns_are_said_and_those_that_a_click_shows_are_read():
    def row(number: int, visibility: str = "") -> str:
        cells = "".join(
            f"<table:table-cell><text:p>{name}{number}</text:p></table:table-cell>"
            for name in "NKT"
        )
        return f'<table:table-row table:visibility="{visibility}">{cells}</table:table-row>'

    body = (
        '<table:table table:name="A"><table:table-column/>'
        '<table:table-column table:visibility="collapse"/>'
        '<table:table-column-group><table:table-column table:visibility="collapse"/>'
        "</table:table-column-group>"
        '<table:table-column table:number-columns-repeated="16381" table:visibility="collapse"/>'
        f"{row(0)}{row(1, 'collapse')}{row(2, 'filter')}"
        f"<table:table-row-group>{row(3, 'collapse')}</table:table-row-group></table:table>"
    )
    document = read(files.open_document("spreadsheet", body), files.ODS)
    assert document.text == "N0 | T0\nN2 | T2\nN3 | T3"
    assert document.unread == (
        Unread("hidden_row", "sheet A"),
        Unread("hidden_column", "sheet A"),
    )
