"""DOCX: what a person reads in it, and what is not read said."""

import pytest

from processing.chunking import split
from processing.errors import PermanentError
from processing.parsing.model import Unread
from processing.parsing.word_numbers import in_format
from tests.processing import files, scans
from tests.processing.office import (
    chart,
    diagram,
    p,
    package,
    part,
    r,
    rels,
    ser,
    tbl,
    tr,
    word,
)
from tests.processing.test_parsing import parts, read


def text(data: bytes) -> str:
    return read(data, files.DOCX).text


def numbered(level: int, content: str, list: int = 1) -> str:
    return p(content, f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{list}"/></w:numPr>')


def lvl(level: int, pattern: str, format: str = "decimal", extra: str = "") -> str:
    return (
        f'<w:lvl w:ilvl="{level}"><w:start w:val="1"/><w:numFmt w:val="{format}"/>'
        f'<w:lvlText w:val="{pattern}"/>{extra}</w:lvl>'
    )


def numbering(*levels: str, nums: str = "") -> dict[str, tuple[str, str]]:
    abstract = f'<w:abstractNum w:abstractNumId="0">{"".join(levels)}</w:abstractNum>'
    nums = nums or '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
    return {"numbering.xml": ("numbering", part("w:numbering", abstract + nums))}


def field(instruction: str) -> str:
    """A field that has no result."""
    begin, end = (f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>' for kind in ("begin", "end"))
    return f"{begin}<w:r><w:instrText>{instruction}</w:instrText></w:r>{end}"


def drawn(graphic: str, description: str = "", cm: tuple[int, int] = (1, 1)) -> str:
    width, height = (side * 360_000 for side in cm)
    return (
        f'<w:r><w:drawing><wp:inline><wp:extent cx="{width}" cy="{height}"/>'
        f'<wp:docPr id="1" name="x" descr="{description}"/>'
        f"<a:graphic><a:graphicData>{graphic}</a:graphicData></a:graphic></wp:inline></w:drawing></w:r>"
    )


# Numbers


def test_paragraphs_have_the_numbers_that_word_draws():
    parts_ = numbering(lvl(0, "%1."), lvl(1, "%1.%2"), lvl(2, "(%3)", "lowerLetter"))
    body = [
        (0, "Scope"),
        (1, "Words"),
        (1, "Rules"),
        (2, "first"),
        (2, "second"),
        (0, "End"),
        (1, "Last"),
    ]
    assert text(word("".join(numbered(*item) for item in body), parts_)) == (
        "1. Scope\n1.1 Words\n1.2 Rules\n(a) first\n(b) second\n2. End\n2.1 Last"
    )


def test_a_number_that_is_drawn_without_a_gap_is_a_word_of_its_own():
    levels = [
        lvl(level, pattern).replace("</w:lvl>", '<w:suff w:val="nothing"/></w:lvl>')
        for level, pattern in enumerate(("%1.%1", "%1)", "第%1章"))
    ]
    data = word("".join(numbered(n, "Scope") for n in range(3)), numbering(*levels))
    assert text(data) == "1.1 Scope\n1)Scope\n第1章Scope"


def test_an_empty_paragraph_of_a_list_counts_and_says_nothing():
    body = [(0, "One"), (0, ""), (0, "Three")]
    data = word("".join(numbered(*item) for item in body), numbering(lvl(0, "%1.")))
    assert text(data) == "1. One\n\n3. Three"


def test_a_numbered_heading_is_cited_with_its_number():
    styles = part(
        "w:styles",
        '<w:style w:type="paragraph" w:styleId="H"><w:name w:val="heading 1"/><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>',
    )
    heading = p("Scope", '<w:pStyle w:val="H"/>')
    document = read(
        word(heading + p("Text."), {"styles.xml": ("styles", styles)} | numbering(lvl(0, "Article %1:", "upperRoman"))),
        files.DOCX,
    )  # fmt: skip
    assert parts(document) == [(None, "Article I: Scope", "Article I: Scope\n\nText.")]


def test_a_list_may_start_anew_and_a_paragraph_may_leave_it():
    nums = "".join(
        f'<w:num w:numId="{n}"><w:abstractNumId w:val="0"/>'
        + (
            f'<w:lvlOverride w:ilvl="0"><w:startOverride w:val="{start}"/></w:lvlOverride>'
            if start
            else ""
        )
        + "</w:num>"
        for n, start in ((1, 0), (2, 5))
    )
    parts_ = numbering(lvl(0, "%1)"), nums=nums)
    body = numbered(0, "a") + numbered(0, "none", 0) + numbered(0, "b") + numbered(0, "c", 2)
    assert text(word(body, parts_)) == "1) a\nnone\n2) b\n5) c"


def test_bullets_are_dashes_and_levels_by_style_are_found():
    level = lvl(0, "\uf0b7", "bullet") + lvl(1, "%2.", extra='<w:pStyle w:val="Deep"/>')
    styles = '<w:style w:type="paragraph" w:styleId="Deep"><w:name w:val="Deep"/><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
    data = word(
        numbered(0, "dot") + p("deep", '<w:pStyle w:val="Deep"/>'),
        numbering(level) | {"styles.xml": ("styles", part("w:styles", styles))},
    )
    assert text(data) == "- dot\n1. deep"


@pytest.mark.parametrize(
    ("count", "format", "shown"),
    [
        (4, "lowerRoman", "iv"), (1999, "upperRoman", "MCMXCIX"), (28, "lowerLetter", "bb"),
        (7, "decimalZero", "07"), (3, "001, 002, 003, ...", "003"), (22, "ordinal", "22nd"),
        (12, "ordinal", "12th"), (12, "chineseCounting", "十二"), (20, "japaneseCounting", "二十"),
        (3, "russianLower", "в"), (3, "decimalEnclosedCircle", "③"), (5, "unheardOf", "5"),
    ],
)  # fmt: skip
def test_numbers_are_written_in_their_format(count, format, shown):
    assert in_format(count, format) == shown


# Runs


def test_what_was_moved_stands_at_its_new_place_only():
    body = f"<w:p><w:moveTo>{r('moved')}</w:moveTo></w:p>{p('between')}<w:p><w:moveFrom>{r('moved')}</w:moveFrom></w:p>"
    assert text(word(body)) == "moved\nbetween"


def test_a_deleted_paragraph_end_joins_what_it_divided():
    first = p("One sentence ", "<w:rPr><w:del/></w:rPr>")
    assert text(word(first + p("in two."))) == "One sentence in two."


def test_deleted_rows_are_gone():
    assert text(word(tbl(tr("a", "1"), tr("b", "2", properties="<w:del/>")))) == "a | 1"


def test_the_text_is_what_stands_on_the_line():
    ruby = (
        "<w:r><w:ruby><w:rt>"
        + r("きそく")
        + "</w:rt><w:rubyBase>"
        + r("規則")
        + "</w:rubyBase></w:ruby></w:r>"
    )
    body = f"<w:p>{r('会社の')}{ruby}{r('は')}</w:p>"
    assert text(word(body)) == "会社の規則は"


@pytest.mark.parametrize(
    ("run", "shown"),
    [
        ('<w:r><w:sym w:font="Wingdings" w:char="F0FE"/></w:r>', "☑"),
        ('<w:r><w:sym w:font="Wingdings" w:char="F0A8"/></w:r>', "☐"),
        ('<w:r><w:sym w:font="Wingdings 2" w:char="F052"/></w:r>', "☑"),
        ('<w:r><w:sym w:font="Symbol" w:char="F061"/></w:r>', "α"),
        ('<w:r><w:rPr><w:rFonts w:ascii="Wingdings"/></w:rPr><w:t>\u00fc</w:t></w:r>', "✓"),
        ('<w:r><w:noBreakHyphen/></w:r>', "-"),
        ('<w:r><w:fldChar><w:ffData><w:checkBox><w:checked/></w:checkBox></w:ffData></w:fldChar></w:r>', "☑"),
        ('<w:r><w:fldChar><w:ffData><w:checkBox><w:default w:val="0"/></w:checkBox></w:ffData></w:fldChar></w:r>', "☐"),
        ('<w:r><w:fldChar><w:ffData><w:ddList><w:result w:val="1"/><w:listEntry w:val="red"/>'
         '<w:listEntry w:val="blue"/></w:ddList></w:ffData></w:fldChar></w:r>', "blue"),
        ("<m:oMath><m:f><m:num><m:r><m:t>a+b</m:t></m:r></m:num><m:den><m:r><m:t>c</m:t></m:r></m:den></m:f></m:oMath>", "(a+b)/c"),
        ("<m:oMath><m:sSup><m:e><m:r><m:t>x</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup></m:oMath>", "x^2"),
        ("<m:oMath><m:m><m:mr><m:e><m:r><m:t>1</m:t></m:r></m:e><m:e><m:r><m:t>2</m:t></m:r></m:e></m:mr>"
         "<m:mr><m:e><m:r><m:t>3</m:t></m:r></m:e></m:mr></m:m></m:oMath>", "1, 2; 3"),
        ("<m:oMath><m:func><m:fName><m:limLow><m:e><m:r><m:t>lim</m:t></m:r></m:e><m:lim><m:r><m:t>n→0</m:t></m:r></m:lim>"
         "</m:limLow></m:fName><m:e><m:r><m:t>x</m:t></m:r></m:e></m:func></m:oMath>", "lim_(n→0) x"),
        ('<m:oMath><m:d><m:dPr><m:begChr m:val="{"/><m:endChr m:val=""/></m:dPr><m:e><m:eqArr><m:e><m:r><m:t>1</m:t></m:r></m:e>'
         "<m:e><m:r><m:t>2</m:t></m:r></m:e></m:eqArr></m:e></m:d></m:oMath>", "{1; 2"),
        (field("MACROBUTTON NoMacro [Type a name] "), "[Type a name]"),
        (field(" SYMBOL 169 \\f Arial"), "©"),
        (field('SYMBOL 97 \\f "Symbol" \\s 10'), "α"),
        (r("no") + field("XE one"), "no"),
        (field(r'EQ \* jc2 \* "Font:MS" \* hps10 \o\ad(\s\up 9(きそく),規則)'), "規則"),
        ("<w:smartTag>" + r("Town") + "</w:smartTag>", "Town"),
        ("<w:hyperlink>" + r("link") + "</w:hyperlink>", "link"),
        ("<w:fldSimple>" + r("7") + "</w:fldSimple>", "7"),
    ],
)  # fmt: skip
def test_signs_and_fields_are_read_as_they_are_seen(run, shown):
    assert text(word(f"<w:p>{r('It says ')}{run}{r(' here')}</w:p>")) == f"It says {shown} here"


def test_hidden_text_is_not_there_however_it_is_hidden():
    styles = part(
        "w:styles",
        '<w:style w:type="character" w:styleId="Secret"><w:rPr><w:vanish/></w:rPr></w:style>',
    )
    runs = r("seen") + r("own", "<w:vanish/>") + r("styled", '<w:rStyle w:val="Secret"/>')
    runs += r(" again", '<w:rStyle w:val="Secret"/><w:vanish w:val="0"/>')
    runs += r("XE", "<w:vanish/>").replace("w:t", "w:instrText") + r("last", "<w:vanish/>")
    document = read(word(f"<w:p>{runs}</w:p>", {"styles.xml": ("styles", styles)}), files.DOCX)
    assert document.text == "seen again"
    assert document.unread == (Unread("hidden_part", count=2),)


def test_a_document_of_hidden_text_only_is_refused_with_the_reason():
    with pytest.raises(PermanentError) as error:
        read(word(p("") + f"<w:p>{r('secret', '<w:vanish/>')}</w:p>"), files.DOCX)
    assert "1 hidden part was not read" in error.value.sentence


def test_blocks_inside_of_tags_and_controls_stand_in_their_order():
    body = (
        p("before") + f"<w:customXml>{p('tagged')}</w:customXml>"
        f"<w:sdt><w:sdtContent>{p('controlled')}</w:sdtContent></w:sdt><w:ins>{p('inserted')}</w:ins>" + p("after")
    )  # fmt: skip
    assert text(word(body)) == "before\ntagged\ncontrolled\ninserted\nafter"


# What stands beside the text


def test_headers_and_footers_are_read_once_and_only_those_that_a_page_shows():
    section = '<w:sectPr><w:headerReference w:type="{}" r:id="{}"/></w:sectPr>'
    body = p("Body") + "".join(
        section.format(*reference)
        for reference in (
            ("default", "h1.xml"),
            ("default", "h2.xml"),
            ("first", "h3.xml"),
            ("even", "h4.xml"),
        )
    )
    headers = {"h1.xml": "Letterhead", "h2.xml": "Letterhead", "h3.xml": "First", "h4.xml": "Even"}
    parts_ = {name: ("header", part("w:hdr", p(said))) for name, said in headers.items()}
    document = read(word(body, parts_), files.DOCX)
    assert parts(document) == [(None, "", "Body"), (None, "Header", "Letterhead")]
    first = body.replace("<w:sectPr>", "<w:sectPr><w:titlePg/>")
    assert "First" in text(word(first, parts_))


def test_a_picture_in_a_header_is_not_passed_over_without_a_word():
    picture = drawn('<pic:pic><a:blip r:embed="pic"/></pic:pic>', cm=(12, 8))
    parts_ = {
        "h.xml": ("header", part("w:hdr", f"<w:p>{picture}</w:p>")),
        "_rels/h.xml.rels": ("other", rels({"pic": ("image", "scan.png")})),
        "scan.png": ("other", scans.encoded(scans.page("Letterhead", dpi=40))),
    }
    body = p("Body") + '<w:sectPr><w:headerReference w:type="default" r:id="h.xml"/></w:sectPr>'
    assert read(word(body, parts_), files.DOCX).unread == (Unread("picture"),)


def test_page_numbers_alone_are_no_footer():
    parts_ = {"f.xml": ("footer", part("w:ftr", p("12")))}
    body = p("Body") + '<w:sectPr><w:footerReference w:type="default" r:id="f.xml"/></w:sectPr>'
    assert text(word(body, parts_)) == "Body"


def test_notes_and_comments_follow():
    parts_ = {
        "footnotes.xml": (
            "footnotes",
            part("w:footnotes", f"<w:footnote>{p('a note')}</w:footnote>"),
        ),
        "comments.xml": ("comments", part("w:comments", f"<w:comment>{p('a remark')}</w:comment>")),
    }
    assert parts(read(word(p("Body"), parts_), files.DOCX))[1:] == [
        (None, "Footnotes", "a note"), (None, "Comments", "a remark"),
    ]  # fmt: skip


def test_a_text_box_is_a_paragraph_of_its_own_and_read_once():
    box = f"<w:txbxContent>{p('boxed')}</w:txbxContent>"
    both = f"<mc:AlternateContent><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    body = f"<w:p>{r('text')}<w:r><w:drawing>{both}</w:drawing></w:r></w:p>{p('next')}"
    assert text(word(body)) == "text\nboxed\nnext"


def test_an_alternative_for_old_programs_is_read_where_the_new_one_says_nothing():
    both = f"<mc:AlternateContent><mc:Choice/><mc:Fallback><w:pict><v:shape><v:textbox><w:txbxContent>{p('old box')}</w:txbxContent></v:textbox></v:shape></w:pict></mc:Fallback></mc:AlternateContent>"
    assert text(word(f"<w:p><w:r>{both}</w:r></w:p>")) == "old box"


def test_diagrams_charts_and_descriptions_stand_where_they_are_drawn():
    parts_ = {
        "d.xml": ("diagramData", diagram("Supervisor", "Board")),
        "c.xml": ("chart", chart(ser("2025", ["North", "South"], [0.192, 0.5], "0.0%"))),
    }
    smart_art, bars = '<dgm:relIds r:dm="d.xml"/>', '<c:chart r:id="c.xml"/>'
    body = p("Above") + f"<w:p>{drawn(smart_art, 'Who is called')}</w:p>"
    body += f"<w:p>{drawn(bars)}</w:p>" + p("Below")
    assert text(word(body, parts_)) == (
        "Above\n\nWho is called\nSupervisor\nBoard\n\n| 2025\nNorth | 19.2%\nSouth | 50.0%\n\nBelow"
    )


def test_a_file_name_is_no_description_and_word_art_is_text():
    assert text(word(f"<w:p>{r('x')}{drawn('<pic:pic/>', 'photo_1.JPG')}</w:p>")) == "x"
    art = '<w:p><w:r><w:pict><v:shape><v:textpath string="CONFIDENTIAL"/></v:shape></w:pict></w:r></w:p>'
    assert text(word(art)) == "CONFIDENTIAL"


def test_what_is_not_read_is_said():
    body = f"<w:p>{r('x')}{drawn('<pic:pic/>', cm=(12, 8))}{drawn('<pic:pic/>')}<w:r><w:object><o:OLEObject/></w:object></w:r></w:p>"
    assert read(word(body), files.DOCX).unread == (Unread("picture"), Unread("embedded_file"))
    described = f"<w:p>{r('x')}{drawn('<pic:pic/>', 'A wiring plan', (12, 8))}</w:p>"
    assert read(word(described), files.DOCX).unread == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chunk.htm", b"<html><body><p>from elsewhere</p></body></html>"),
        ("chunk.txt", b"from elsewhere"),
        ("chunk.docx", word(p("from elsewhere"))),
        (
            "chunk.mht",
            b"MIME-Version: 1.0\nContent-Type: text/html\n\n<html><body>from elsewhere</body></html>",
        ),
    ],
)
def test_a_file_that_word_shows_as_a_part_is_read(name, content):
    data = word(
        p("above") + f'<w:altChunk r:id="{name}"/>' + p("below"), {name: ("aFChunk", content)}
    )
    assert text(data) == "above\n\nfrom elsewhere\n\nbelow"


def test_a_damaged_part_beside_the_text_is_said_and_the_text_read():
    data = word(p("Body"), {"comments.xml": ("comments", part("w:comments", p("a remark"))[:-20])})
    document = read(data, files.DOCX)
    assert document.text.startswith("Body")
    assert document.unread == (Unread("damaged_part"),)


# Tables


def test_merged_cells_of_word_keep_the_others_in_their_columns():
    wide = f'<w:tc><w:tcPr><w:gridSpan w:val="2"/></w:tcPr>{p("2024")}</w:tc>'
    start = f'<w:tc><w:tcPr><w:vMerge w:val="restart"/></w:tcPr>{p("North")}</w:tc>'
    goes_on = f"<w:tc><w:tcPr><w:vMerge/></w:tcPr>{p()}</w:tc>"
    header = "<w:tblHeader/>"
    document = read(
        word(
            tbl(tr("Region", wide, properties=header), tr("", "Q1", "Q2", properties=header),
                tr(start, "1", "2"), tr(goes_on, "3", "4"))
        ),
        files.DOCX,
    )  # fmt: skip
    assert document.text == "Region | 2024 |\n| Q1 | Q2\nNorth | 1 | 2\n| 3 | 4"
    assert document.sections[-1].context == "North\nRegion | 2024 Q1 | 2024 Q2"


def test_a_late_row_of_a_long_table_knows_its_columns():
    body = tbl(
        tr("Pump", "Installed", "Retired"), *(tr(f"P-{n}", "", "winter") for n in range(200))
    )
    late = next(piece for piece in split(read(word(body), files.DOCX)) if "P-190" in piece.text)
    assert late.context == "Pump | Installed | Retired"
    assert "P-190 |  | winter" in late.text


def test_a_frame_of_one_column_is_no_table():
    body = tbl(tr(f"<w:tc>{p('First.')}{p('Second.')}</w:tc>"))
    assert text(word(body)) == "First.\nSecond."


# Packages


DOCUMENT = part("w:document", f"<w:body>{p('Still readable.')}</w:body>")


@pytest.mark.parametrize(
    "data",
    [
        files.zipped({"[Content_Types].xml": "<Types/>", "word\\document.xml": DOCUMENT,
                      "_rels\\.rels": rels({"d": ("officeDocument", "word/document.xml")})}),
        files.zipped({"WORD/Document.XML": DOCUMENT, "_rels/.rels": rels({"d": ("officeDocument", "/word/document.xml")})}),
        files.zipped({"word/other.xml": DOCUMENT, "_rels/.rels": rels({"d": ("officeDocument", "word/other.xml")})}),
        files.zipped({"word/document.xml": DOCUMENT}),
        package("word/document.xml", DOCUMENT, {"gone.xml": ("image", "")}).replace(b"gone.xml", b"NULL.xml", 1),
        files.with_member(package("word/document.xml", DOCUMENT), "word/_rels/document.xml.rels",
                          rels({"a": ("image", "NULL"), "b": ("styles", "../NULL"), "c": ("header", "")})),
    ],
    ids=["backslashes", "other letters", "another name", "no relations", "a damaged name", "relations to nothing"],
)  # fmt: skip
def test_what_word_opens_is_read(data):
    assert text(data) == "Still readable."


def test_iso_strict_is_read():
    strict = word(p("Sick leave") + tbl(tr("a", "1")))
    members = {
        name: content.replace(
            b"http://schemas.openxmlformats.org/officeDocument/2006/",
            b"http://purl.oclc.org/ooxml/officeDocument/",
        ).replace(
            b"http://schemas.openxmlformats.org/wordprocessingml/2006/",
            b"http://purl.oclc.org/ooxml/wordprocessingml/",
        )
        for name, content in files.members(strict).items()
    }
    assert b"purl" in members["word/document.xml"]
    assert text(files.zipped(members)) == "Sick leave\n\na | 1"


@pytest.mark.parametrize("kind", ["template.main", "document.macroEnabled.main"])
def test_templates_and_documents_with_macros_are_documents(kind):
    types = f'<Types><Override PartName="/word/document.xml" ContentType="x/{kind}+xml"/></Types>'
    assert text(files.with_member(word(p("Here.")), "[Content_Types].xml", types)) == "Here."


def test_a_member_that_nobody_reads_may_be_as_large_as_it_likes():
    data = files.with_member(word(p("Small.")), "word/media/image1.emf", bytes(40 * 2**20))
    assert text(data) == "Small."


def test_powers_drop_caps_fields_in_fields_and_little_tables_are_as_they_are_seen():
    raised = r("10") + r("6", '<w:vertAlign w:val="superscript"/>')
    drop = '<w:framePr w:dropCap="drop"/>'

    def mark(kind: str) -> str:
        return f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>'

    code = "<w:r><w:instrText>IF</w:instrText></w:r>"
    inner = mark("begin") + code + mark("separate") + r("inner") + mark("end")
    field = mark("begin") + code + inner + mark("separate") + r("shown") + mark("end")
    cell = f"<w:tc>{tbl(tr('x', 'y'))}{p()}</w:tc>"
    rows = tbl(tr("Name", "Parts"), tr("Ada", cell), tr("Bob", "none"))
    body = f"<w:p>{raised}</w:p>{p('O', drop)}{p('nce upon')}<w:p>{field}</w:p>{rows}"
    assert text(word(body)) == ("10^6\n\nOnce upon\nshown\n\nName | Parts\nAda | x, y;\nBob | none")
