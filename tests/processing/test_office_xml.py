"""Office documents that are one XML file, under whatever name."""

import base64
from xml.sax.saxutils import escape

import pytest

from processing.parsing import Unread
from tests.processing import files
from tests.processing.office import part, r
from tests.processing.test_parsing import parts, parts_of, read

WORD = "http://schemas.microsoft.com/office/word/2003/wordml"
HINTS = "http://schemas.microsoft.com/office/word/2003/auxHint"
MARKUP = "http://schemas.microsoft.com/aml/2001/core"
EXCEL = "urn:schemas-microsoft-com:office:spreadsheet"
PACKAGE = "http://schemas.microsoft.com/office/2006/xmlPackage"


def word_2003(body: str, before: str = "") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><?mso-application progid="Word.Document"?>'
        f'<w:wordDocument xmlns:w="{WORD}" xmlns:wx="{HINTS}" xmlns:aml="{MARKUP}">{before}'
        f"<w:body><wx:sect>{body}</wx:sect></w:body></w:wordDocument>"
    )


def p(text: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def test_a_document_of_word_2003_has_headings_numbers_tables_margins_and_notes():
    styles = (
        '<w:styles><w:style w:type="paragraph" w:styleId="H1"><w:name w:val="heading 1"/></w:style>'
        "</w:styles>"
    )
    lists = (
        '<w:lists><w:listDef w:listDefId="7"><w:lvl w:ilvl="0"><w:start w:val="1"/><w:nfc '
        'w:val="4"/><w:lvlText w:val="%1)"/></w:lvl></w:listDef><w:list w:ilfo="3"><w:ilst '
        'w:val="7"/></w:list></w:lists>'
    )
    item = '<w:listPr><w:ilvl w:val="0"/><w:ilfo w:val="3"/><wx:t wx:val="x"/></w:listPr>'
    note = f"<w:r><w:footnote>{p('A note')}</w:footnote></w:r>"
    cells = "".join(f"<w:tc>{p(text)}</w:tc>" for text in ("Ada", "1815"))
    names = "".join(f"<w:tc>{p(text)}</w:tc>" for text in ("Name", "Born"))
    margin = f'<w:sectPr><w:hdr w:type="odd">{p("Letterhead")}</w:hdr></w:sectPr>'
    gone = (
        '<aml:annotation w:type="Word.Deletion"><aml:content><w:r><w:delText>old</w:delText></w:r>'
        '</aml:content></aml:annotation><aml:annotation w:type="Word.Insertion"><aml:content>'
        "<w:r><w:t>new</w:t></w:r></aml:content></aml:annotation>"
    )
    data = word_2003(
        p("People", '<w:pStyle w:val="H1"/>') + p("one", item) + p("two", item)
        + f"<w:p><w:r><w:t>Text </w:t></w:r>{gone}{note}</w:p>"
        + f"<w:tbl><w:tr>{names}</w:tr><w:tr>{cells}</w:tr></w:tbl>{margin}",
        lists + styles,
    )  # fmt: skip
    assert parts_of(data, files.XML) == [
        (None, "People", "People\n\na) one\nb) two\nText new"),
        (None, "People", "Name | Born\nAda | 1815"),
        (None, "Header", "Letterhead"),
        (None, "Footnotes", "A note"),
    ]


def flat(members: dict[str, str | bytes]) -> str:
    made = ""
    for name, content in members.items():
        if isinstance(content, bytes):
            said = f"<pkg:binaryData>{base64.b64encode(content).decode()}</pkg:binaryData>"
        else:
            said = f"<pkg:xmlData>{content}</pkg:xmlData>"
        made += f'<pkg:part pkg:name="/{escape(name)}">{said}</pkg:part>'
    return f'<pkg:package xmlns:pkg="{PACKAGE}">{made}</pkg:package>'


@pytest.mark.parametrize("content_type", [files.DOCX, files.PPTX, files.XLSX])
def test_a_package_in_one_file_is_read_like_its_archive(content_type):
    _, data = files.samples()[content_type]
    members = {
        name: content if not name.endswith((".xml", ".rels")) else _bare(content)
        for name, content in files.members(data).items()
    }
    assert parts_of(flat(members), files.XML) == parts_of(data, content_type)


def _bare(content: bytes) -> str:
    """XML without its declaration."""
    text = content.decode()
    return text.partition("?>")[2] if text.startswith("<?xml") else text


def test_a_main_part_alone_is_a_document():
    body = f"<w:body><w:p>{r('Hello')}</w:p></w:body>"
    data = flat({"word/document.xml": part("w:document", body)})
    assert parts_of(data, files.XML) == [(None, "", "Hello")]


def test_a_workbook_of_excel_2003_shows_its_values_and_says_what_is_hidden():
    def row(*cells: str, attributes: str = "") -> str:
        return f"<Row {attributes}>{''.join(cells)}</Row>"

    def cell(kind: str, value: str, attributes: str = "") -> str:
        return f'<Cell {attributes}><Data ss:Type="{kind}">{value}</Data></Cell>'

    rows = (
        row(*(cell("String", name) for name in ("Name", "Share", "Day", "Note")))
        + row(
            cell("String", "Ada"), cell("Number", "0.15", 'ss:StyleID="s1"'),
            cell("DateTime", "2024-01-05T00:00:00.000"), cell("Boolean", "1"),
        )
        + row(cell("String", "Bob", 'ss:MergeAcross="1"'), cell("String", "x", 'ss:Index="4"'))
        + row(cell("String", "far", 'ss:Index="2"'), attributes='ss:Index="6"')
    )  # fmt: skip
    style = '<Styles><Style ss:ID="s1"><NumberFormat ss:Format="0%"/></Style></Styles>'
    hidden = (
        '<Worksheet ss:Name="Lists"><Table><Row/></Table><x:WorksheetOptions><x:Visible>SheetHidden'
        "</x:Visible></x:WorksheetOptions></Worksheet>"
    )
    data = (
        f'<?xml version="1.0"?><Workbook xmlns="{EXCEL}" xmlns:ss="{EXCEL}" xmlns:x="urn:x">{style}'
        f'<Worksheet ss:Name="People"><Table>{rows}</Table></Worksheet>{hidden}</Workbook>'
    )
    document = read(data.encode(), files.XML)
    assert parts(document) == [
        (
            None,
            "People",
            "Name | Share | Day | Note\nAda | 15% | 2024-01-05 | TRUE\nBob |  |  | x\n| far |  |",
        )
    ]
    assert document.sections[0].context == "Name | Share | Day | Note"
    assert document.unread == (Unread("hidden_sheet", "sheet Lists"),)


def test_pages_drawings_and_open_documents_are_read_as_such_under_the_name_of_xml():
    page = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><h1>A</h1></body></html>'
    assert parts_of(page, files.XML) == [(None, "A", "A")]
    assert parts_of("<svg><g><text>A <tspan>b</tspan></text></g></svg>", files.XML)[0][2] == "A b"
    flat_text = files.open_document("text", "<text:p>Hello</text:p>", flat=True)
    assert parts_of(flat_text, files.XML) == [(None, "", "Hello")]


HIDDEN = ' ss:Hidden="1"'


def test_sheets_of_2003_say_which_rows_and_columns_are_hidden():
    def row(number: int, more: str = "") -> str:
        cells = (f'<Cell><Data ss:Type="String">{name}{number}</Data></Cell>' for name in "NKT")
        return f"<Row{more}>{''.join(cells)}</Row>"

    data = (
        f'<?xml version="1.0"?><Workbook xmlns="{EXCEL}" xmlns:ss="{EXCEL}"><Worksheet ss:Name="A">'
        '<Table><Column ss:Index="2" ss:Hidden="1"/>'
        '<Column ss:Index="4" ss:Hidden="1" ss:Span="9"/>'
        f"{row(0)}{row(1, HIDDEN)}{row(2)}</Table></Worksheet></Workbook>"
    )
    document = read(data.encode(), files.XML)
    assert document.text == "N0 | T0\nN2 | T2"
    assert document.unread == (
        Unread("hidden_row", "sheet A"),
        Unread("hidden_column", "sheet A"),
    )
