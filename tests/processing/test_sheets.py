"""XLSX: what a person sees in the cells, and what is not read said."""

import pytest

from processing.chunking import split
from processing.parsing.model import Unread
from tests.processing import files
from tests.processing.office import chart, part, rels, rows, ser, spreadsheet, workbook
from tests.processing.test_parsing import parts, read

STYLES = (
    '<numFmts><numFmt numFmtId="164" formatCode="00000"/><numFmt numFmtId="165" formatCode="[h]:mm"/></numFmts>'
    "<fills><fill/></fills><fonts><font><sz/></font></fonts>"
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="10"/><xf numFmtId="164"/><xf numFmtId="14"/><xf numFmtId="165"/></cellXfs>'
)
DRAWN = '<drawing r:id="d.xml"/>'


def text(content: str, **options) -> str:
    return read(workbook({"A": content}, **options), files.XLSX).text


def test_values_are_shown_as_their_cells_show_them():
    shown = text(
        rows(["Part", "Share", "When", "Took"], [(42, 2), (0.125, 1), (46097, 3), (1.5, 4)], [(7, 2), 0.1 + 0.2]),
        styles=STYLES,
    )  # fmt: skip
    assert (
        shown == "Part | Share | When | Took\n00042 | 12.50% | 2026-03-16 | 36:00\n00007 | 0.3 |  |"
    )


def test_dates_may_count_from_1904():
    assert (
        text(rows(["x", (46097 - 1462, 3)]), styles=STYLES, properties='<workbookPr date1904="1"/>')
        == "x | 2026-03-16"
    )


def test_strings_may_be_shared_rich_escaped_and_have_their_reading_beside():
    strings = (
        "<si><t>plain</t></si><si><r><rPr><family val='99'/></rPr><t>ri</t></r><r><t>ch</t></r></si>"
        "<si><t>会社</t><rPh sb='0' eb='2'><t>カイシャ</t></rPh></si><si><t>a_x000D_b_x005F_x0041_</t></si>"
    )
    cells = "".join(f'<c r="{column}1" t="s"><v>{n}</v></c>' for n, column in enumerate("ABCD"))
    shown = text(f'<sheetData><row r="1">{cells}</row></sheetData>', strings=strings)
    assert shown == "plain | rich | 会社 | a b_x0041_"


def test_errors_booleans_and_iso_dates_are_values():
    cells = '<c r="A1" t="e"><v>#DIV/0!</v></c><c r="B1" t="b"><v>1</v></c><c r="C1" t="d"><v>2026-03-16T00:00:00</v></c>'
    assert text(f'<sheetData><row r="1">{cells}</row></sheetData>') == "#DIV/0! | TRUE | 2026-03-16"


def test_a_formula_without_a_saved_value_is_shown_and_said():
    cells = [
        "<f>SUM(B2:B3)</f>",
        "<f>SUM(B4)</f><v></v>",
        '<f t="shared" si="0"/>',
        "<f>1+1</f><v>2</v>",
    ]
    document = read(workbook({"Sums": rows(["Total", *cells])}), files.XLSX)
    assert document.text == "Total | =SUM(B2:B3) | =SUM(B4) |  | 2"
    assert document.unread == (Unread("formula", "sheet Sums", 3),)


def test_millions_of_cells_that_only_have_a_style_are_no_cells():
    empty = "".join(
        f'<row r="{n}" s="1"><c r="A{n}" s="1"/><c r="B{n}" s="1"></c></row>'
        for n in range(3, 400_000)
    )
    sheet = rows(["Task", "Due"], ["Roof", "May"]).replace("</sheetData>", f"{empty}</sheetData>")
    assert text(sheet) == "Task | Due\nRoof | May"


def test_rows_and_cells_without_a_place_of_their_own_follow_each_other():
    sheet = "<sheetData><row><c><v>1</v></c><c/><c><v>3</v></c></row><row/><row><c><v>4</v></c></row></sheetData>"
    assert text(sheet) == "1 |  | 3\n4"


def test_cells_in_any_order_and_prefix_are_read():
    sheet = '<sheetData><row r="1"><c r="C1"><v>3</v></c><c r="A1"><v>1</v></c></row></sheetData>'
    assert text(sheet) == "1 |  | 3"
    data = workbook({"A": ""})
    prefixed = (
        spreadsheet("worksheet", sheet)
        .replace("<", "<x:")
        .replace("<x:/", "</x:")
        .replace("xmlns=", "xmlns:x=")
    )
    assert (
        read(files.with_member(data, "xl/worksheets/sheet1.xml", prefixed), files.XLSX).text
        == "1 |  | 3"
    )


def test_merged_cells_name_all_the_columns_that_they_cover():
    sheet = rows(
        ["Sales"], ["Region", "2023", "", "2024"], ["", "Q1", "Q2", "Q1", "Q2"], ["North", 1, 2, 3, 4], ["", 5, 6, 7, 8]
    ) + '<mergeCells><mergeCell ref="A1:E1"/><mergeCell ref="A2:A3"/><mergeCell ref="B2:C2"/><mergeCell ref="D2:E2"/><mergeCell ref="A4:A5"/></mergeCells>'  # fmt: skip
    document = read(workbook({"A": sheet}), files.XLSX)
    assert document.text == (
        "Sales\nRegion | 2023 |  | 2024 |\n| Q1 | Q2 | Q1 | Q2\nNorth | 1 | 2 | 3 | 4\n| 5 | 6 | 7 | 8"
    )
    assert document.sections[-1].context == "North\nRegion | 2023 Q1 | 2023 Q2 | 2024 Q1 | 2024 Q2"


NAMES = [["Who", "Town"], *([f"Person {n}", f"Town {n}"] for n in range(200))]


@pytest.mark.parametrize(
    ("before", "after", "parts_"),
    [
        ('<sheetViews><sheetView><pane ySplit="1" state="frozen"/></sheetView></sheetViews>', "", {}),
        ("", '<autoFilter ref="A1:B201"/>', {}),
        ("", "", {"t.xml": ("table", spreadsheet("table", "").replace("<table ", '<table ref="A1:B201" '))}),
    ],
    ids=["frozen", "filtered", "a table"],
)  # fmt: skip
def test_a_sheet_that_says_which_row_names_the_columns_is_believed(before, after, parts_):
    document = read(workbook({"A": before + rows(*NAMES) + after}, parts_), files.XLSX)
    late = next(piece for piece in split(document) if "Person 190" in piece.text)
    assert late.context == "Who | Town"


def test_what_stands_above_a_table_is_none_of_its_columns():
    sheet = rows(["Report"], ["by", "Ada"], *NAMES) + '<autoFilter ref="A3:B203"/>'
    document = read(workbook({"A": sheet}), files.XLSX)
    assert document.text.startswith("Report\nby | Ada\n\nWho | Town\nPerson 0 | Town 0")
    assert document.sections[-1].context == "Who | Town"


def test_notes_comments_text_boxes_charts_and_print_headers_follow_the_cells():
    drawing = part("xdr:wsDr", (
        '<xdr:sp><xdr:cNvPr id="1" name="x" descr="A plan"/><xdr:txBody><a:p><a:r><a:t>In a box</a:t></a:r></a:p></xdr:txBody></xdr:sp>'
        '<xdr:graphicFrame><a:graphic><a:graphicData><c:chart r:id="c.xml"/></a:graphicData></a:graphic></xdr:graphicFrame>'
    ))  # fmt: skip
    note = '<comment ref="B2"><text><r><t>Replaced </t></r><r><t>in May</t></r></text></comment>'
    old = '<comment ref="A1"><text><t>[Threaded comment] Your version of Excel</t></text></comment>'
    threaded = (
        '<x xmlns="urn:t"><threadedComment ref="A1"><text>Is it so?</text></threadedComment></x>'
    )
    data = workbook(
        {"A": rows(["x", "y"]) + '<headerFooter><oddHeader>&amp;L&amp;"Arial,Bold"&amp;12Meridian Ltd&amp;RPage &amp;P of &amp;N</oddHeader></headerFooter>'},
        {
            "d.xml": ("drawing", drawing),
            "n.xml": ("comments", spreadsheet("comments", f"<commentList>{note}{old}</commentList>")),
            "t.xml": ("threadedComment", threaded),
        },
    )  # fmt: skip
    members = files.members(data) | {
        "xl/worksheets/c.xml": chart(ser("2025", ["North"], [0.5], "0%")),
        "xl/worksheets/_rels/d.xml.rels": rels({"c.xml": ("chart", "c.xml")}),
    }
    document = read(files.zipped(members), files.XLSX)
    assert document.text == (
        "x | y\n\nMeridian Ltd\nA1: Is it so?\nB2: Replaced in May\nA plan\nIn a box\n\n| 2025\nNorth | 50%"
    )
    assert {section.heading for section in document.sections} == {"A"}
    assert [section.apart for section in document.sections] == [True, False, False]


def test_embedded_files_are_read_or_said():
    inner = workbook({"Costs": rows(["Rent", 700])})
    parts_ = {"e.bin": ("oleObject", b"x"), "e.xlsx": ("package", inner)}
    document = read(workbook({"Plan": rows(["x"])}, parts_), files.XLSX)
    assert parts(document) == [(None, "Plan", "x"), (None, "e.xlsx > Costs", "Rent | 700")]
    assert document.unread == (Unread("embedded_file", "sheet Plan"),)


def test_what_excel_opens_is_read_whatever_its_views_and_names_are():
    sheet = '<sheetViews><sheetView zoomScale="x" view="odd"/></sheetViews>' + rows(["Rating", 4]) + (
        '<dataValidations count="x"><dataValidation type="odd"/></dataValidations><pageMargins left=""/>'
    )  # fmt: skip
    names = '<definedNames><definedName name="">#REF!</definedName></definedNames><bookViews><workbookView firstSheet="x"/></bookViews>'
    assert text(sheet, properties=names, styles=STYLES) == "Rating | 4"


def test_iso_strict_is_read():
    members = {
        name: content.replace(b"http://schemas.openxmlformats.org/spreadsheetml/2006/", b"http://purl.oclc.org/ooxml/spreadsheetml/")
        .replace(b"http://schemas.openxmlformats.org/officeDocument/2006/", b"http://purl.oclc.org/ooxml/officeDocument/")
        for name, content in files.members(workbook({"A": rows(["Item", 4])})).items()
    }  # fmt: skip
    assert parts(read(files.zipped(members), files.XLSX)) == [(None, "A", "Item | 4")]


FILTERED = '<autoFilter ref="A1:C4"><filterColumn colId="0"/></autoFilter>'
TABLE = spreadsheet("table", FILTERED).replace("<table ", '<table ref="A1:C4" ')


@pytest.mark.parametrize(
    ("after", "parts_", "is_hidden"),
    [
        ("", {}, True),
        ('<autoFilter ref="A1:C4"/>', {}, True),
        (FILTERED, {}, False),  # a click shows it
        ("", {"t.xml": ("table", TABLE)}, False),
    ],
)
def test_hidden_rows_and_columns_are_said_and_those_that_a_click_shows_are_read(
    after, parts_, is_hidden
):
    sheet = rows(["Name", "Key", "Town"], *([f"N{n}", f"K{n}", f"T{n}"] for n in (1, 2, 3)))
    sheet = sheet.replace('<row r="2"', '<row r="2" hidden="1"')
    sheet = sheet.replace('<row r="4"', '<row r="4" hidden="1" outlineLevel="1"')
    columns = (
        '<cols><col min="2" max="2" hidden="1"/><col min="3" max="3" hidden="1" outlineLevel="1"/>'
        '<col min="5" max="16384" hidden="true"/></cols>'
    )
    document = read(workbook({"A": columns + sheet + after}, parts_), files.XLSX)
    shown = "N2 | T2\nN3 | T3" if is_hidden else "N1 | T1\nN2 | T2\nN3 | T3"
    assert document.text == f"Name | Town\n{shown}"
    said = {entry.kind: entry.count for entry in document.unread}
    assert said == {"hidden_column": 1} | ({"hidden_row": 1} if is_hidden else {})
