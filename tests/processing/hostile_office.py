"""Makes hostile Office files and books after what is read of them beside their text: parts that
belong to each other in circles, are named ten thousand times, lie about their size and number, ask
for what is outside, or nest without end. Always the same ones; each is small.
"""

from collections.abc import Iterator

from tests.processing import files, hostile
from tests.processing.office import (
    chart,
    diagram,
    frame,
    p,
    part,
    r,
    rels,
    rows,
    ser,
    slides,
    sp,
    spreadsheet,
    tbl,
    tr,
    word,
    workbook,
)

File = tuple[str, bytes]
MANY = 20_000
TEXT = p("Some text.")
HUGE = "9" * 4_000


def documents(canary: str) -> list[File]:
    """All of them: (file name, content); `canary` is a URL that nobody may ask."""
    made = [*_parts(canary), *_word(), *_slides(), *_sheets(), *_books(canary), *_embedded()]
    return [(f"{n:03} {name}", content) for n, (name, content) in enumerate(made)]


def _parts(canary: str) -> Iterator[File]:
    """Each kind of part that is read beside the text, in each way that it may be evil."""
    for kind, name, data in _with_each_kind_of_part():
        folder, _, file = name.rpartition("/")
        content = files.members(data)[name]
        declared = content.find(b">") + 1
        laughs = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
        evil = {
            "empty": b"",
            "truncated": content[: len(content) * 2 // 3],
            "another root": b"<x/>",
            "not xml": bytes(range(256)) * 40,
            "deep": content[:declared] + b"<a>" * 100_000 + b"</a>" * 100_000 + content[declared:],
            "laughs": f'<!DOCTYPE x [<!ENTITY e0 "ha">{laughs}]>'.encode()
            + content.replace(b"Words", b"&e9;"),
            "outside": f'<!DOCTYPE x [<!ENTITY e9 SYSTEM "{canary}">]>'.encode()
            + content.replace(b"Words", b"&e9;"),
            "bomb": content + b" " * (40 * hostile.MIB),
            "utf-16": content.decode().encode("utf-16"),
        }
        suffix = _suffix(data)
        for way, changed in evil.items():
            yield f"{kind} {way}{suffix}", files.with_member(data, name, changed)
        circle = rels({"a": (kind, file), "b": (kind, f"../{folder.rpartition('/')[2]}/{file}")})
        yield (
            f"{kind} circle{suffix}",
            files.with_member(data, f"{folder}/_rels/{file}.rels", circle),
        )
        outside = rels({"x": (kind, canary)}).replace("/>", ' TargetMode="External"/>')
        yield (
            f"{kind} relation outside{suffix}",
            files.with_member(data, f"{folder}/_rels/{file}.rels", outside),
        )


def _with_each_kind_of_part() -> Iterator[tuple[str, str, bytes]]:
    smart_art = '<w:p><w:r><w:drawing><dgm:relIds r:dm="d.xml"/></w:drawing></w:r></w:p>'
    header = '<w:sectPr><w:headerReference r:id="h.xml"/></w:sectPr>'
    yield (
        "diagramData",
        "word/d.xml",
        word(TEXT + smart_art, {"d.xml": ("diagramData", diagram("Words"))}),
    )
    yield (
        "header",
        "word/h.xml",
        word(TEXT + header, {"h.xml": ("header", part("w:hdr", p("Words")))}),
    )
    yield (
        "footnotes",
        "word/n.xml",
        word(
            TEXT,
            {"n.xml": ("footnotes", part("w:footnotes", f"<w:footnote>{p('Words')}</w:footnote>"))},
        ),
    )
    graph = {"c.xml": ("chart", chart(ser("Words", ["a"], [1])))}
    yield (
        "chart",
        "ppt/slides/c.xml",
        slides(sp("Text") + frame('<c:chart r:id="c.xml"/>'), parts=graph),
    )
    notes = part("p:notes", f"<p:cSld><p:spTree>{sp('Words')}</p:spTree></p:cSld>")
    yield (
        "notesSlide",
        "ppt/slides/n.xml",
        slides(sp("Text"), parts={"n.xml": ("notesSlide", notes)}),
    )
    remark = spreadsheet(
        "comments",
        '<commentList><comment ref="A1"><text><t>Words</t></text></comment></commentList>',
    )
    yield (
        "comments",
        "xl/worksheets/n.xml",
        workbook({"A": rows(["x", 1])}, {"n.xml": ("comments", remark)}),
    )
    drawn = part(
        "xdr:wsDr",
        "<xdr:sp><xdr:txBody><a:p><a:r><a:t>Words</a:t></a:r></a:p></xdr:txBody></xdr:sp>",
    )
    yield (
        "drawing",
        "xl/worksheets/d.xml",
        workbook({"A": rows(["x", 1])}, {"d.xml": ("drawing", drawn)}),
    )


def _suffix(data: bytes) -> str:
    names = files.members(data)
    return next(
        s
        for s, folder in ((".docx", "word/"), (".pptx", "ppt/"), (".xlsx", "xl/"))
        if any(n.startswith(folder) for n in names)
    )


def _word() -> Iterator[File]:
    lvl = '<w:lvl w:ilvl="{}"><w:start w:val="{}"/><w:numFmt w:val="{}"/><w:lvlText w:val="{}"/></w:lvl>'
    num = '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
    numbered = p("x", '<w:numPr><w:ilvl w:val="{}"/><w:numId w:val="1"/></w:numPr>')
    for name, level, level_text in (
        ("a start without end", 0, lvl.format(0, HUGE, "decimal", "%1")),
        ("a level without end", 10**9, lvl.format(10**9, 1, "decimal", "%1")),
        ("a negative level", -5, lvl.format(-5, -7, "lowerRoman", "%1%0")),
        ("a long pattern", 0, lvl.format(0, 1, "upperRoman", "%1" * 100_000)),
        ("an endless format", 0, lvl.format(0, 3, "1," * 100_000, "%1")),
        ("a huge letter", 0, lvl.format(0, 10**9, "lowerLetter", "%1")),
        ("a huge chinese number", 0, lvl.format(0, 10**15, "chineseCounting", "%1")),
    ):
        xml = part(
            "w:numbering", f'<w:abstractNum w:abstractNumId="0">{level_text}</w:abstractNum>{num}'
        )
        yield (
            f"numbers of {name}.docx",
            word(numbered.format(level) * 300, {"n.xml": ("numbering", xml)}),
        )
    one = word(TEXT)
    yield (
        "chunk of itself.docx",
        word(TEXT + '<w:altChunk r:id="c.docx"/>' * 500, {"c.docx": ("aFChunk", one)}),
    )
    nested = one
    for _ in range(6):
        nested = word(TEXT + '<w:altChunk r:id="c.docx"/>' * 9, {"c.docx": ("aFChunk", nested)})
    yield "chunks in chunks.docx", nested
    yield (
        "chunk of a bomb.docx",
        word(
            TEXT + '<w:altChunk r:id="c.docx"/>',
            {"c.docx": ("aFChunk", files.zipped({"word/document.xml": bytes(60 * hostile.MIB)}))},
        ),
    )
    yield (
        "chunk of mail.docx",
        word(
            TEXT + '<w:altChunk r:id="c.mht"/>',
            {
                "c.mht": (
                    "aFChunk",
                    b"Content-Type: multipart/mixed; boundary=a\n\n" + b"--a\n" * 50_000,
                )
            },
        ),
    )
    headers = '<w:sectPr><w:headerReference r:id="h.xml"/></w:sectPr>' * MANY
    yield (
        "one header often.docx",
        word(TEXT + headers, {"h.xml": ("header", part("w:hdr", p("Words") * 500))}),
    )
    yield (
        "one diagram often.docx",
        word(
            TEXT + '<w:p><w:r><w:drawing><dgm:relIds r:dm="d.xml"/></w:drawing></w:r></w:p>' * MANY,
            {"d.xml": ("diagramData", diagram(*["Words"] * 500))},
        ),
    )
    yield (
        "alternatives in alternatives.docx",
        word(
            TEXT
            + "<mc:AlternateContent><mc:Choice>" * 60
            + TEXT
            + "</mc:Choice></mc:AlternateContent>" * 60
        ),
    )
    yield (
        "equations in equations.docx",
        word(
            f"<w:p><m:oMath>{'<m:box><m:e>' * 90}<m:r><m:t>x</m:t></m:r>{'</m:e></m:box>' * 90}</m:oMath></w:p>"
            + TEXT
        ),
    )
    yield (
        "boxes in boxes.docx",
        word("<w:p><w:r><w:txbxContent>" * 70 + TEXT + "</w:txbxContent></w:r></w:p>" * 70),
    )
    yield (
        "a cell over a million columns.docx",
        word(
            tbl(
                tr(f'<w:tc><w:tcPr><w:gridSpan w:val="999999999"/></w:tcPr>{TEXT}</w:tc>', "b")
                * 400
            )
        ),
    )
    yield (
        "a row that begins far away.docx",
        word(tbl(tr("a", "b", properties=f'<w:gridBefore w:val="{HUGE[:9]}"/>') * 400)),
    )
    yield (
        "signs of no font.docx",
        word(
            '<w:p><w:r><w:sym w:font="Wingdings" w:char="FFFFFFFFFF"/><w:sym/><w:sym w:char="zz"/></w:r></w:p>'
            + TEXT
        ),
    )
    yield (
        "a list of no choice.docx",
        word(
            f'<w:p><w:r><w:fldChar><w:ffData><w:ddList><w:result w:val="{HUGE[:9]}"/></w:ddList></w:ffData></w:fldChar></w:r></w:p>'
            + TEXT
        ),
    )
    yield (
        "a picture without measure.docx",
        word(
            f'<w:p>{r("x")}<w:r><w:drawing><wp:extent cx="{HUGE}" cy="-1"/><pic:pic/></w:drawing></w:r></w:p>'
        ),
    )
    yield (
        "styles of each other.docx",
        word(
            p("x", '<w:pStyle w:val="a"/>'),
            {
                "s.xml": (
                    "styles",
                    part(
                        "w:styles",
                        '<w:style w:styleId="a"><w:basedOn w:val="b"/></w:style><w:style w:styleId="b"><w:basedOn w:val="a"/></w:style>',
                    ),
                )
            },
        ),
    )


def _slides() -> Iterator[File]:
    deck = slides(sp("Text"))
    often = "".join(f'<p:sldId id="{n}" r:id="s0"/>' for n in range(MANY))
    yield (
        "one slide often.pptx",
        files.with_member(
            deck,
            "ppt/presentation.xml",
            part("p:presentation", f"<p:sldIdLst>{often}</p:sldIdLst>"),
        ),
    )
    yield "groups in groups.pptx", slides("<p:grpSp>" * 120 + sp("Text") + "</p:grpSp>" * 120)
    yield (
        "a layout of itself.pptx",
        files.with_member(
            slides(
                sp("Text"),
                parts={
                    "l.xml": ("slideLayout", part("p:sldLayout", "<p:cSld><p:spTree/></p:cSld>"))
                },
            ),
            "ppt/slides/_rels/l.xml.rels",
            rels({"m": ("slideMaster", "l.xml")}),
        ),
    )
    cells = "<a:tc><a:txBody><a:p><a:r><a:t>x</a:t></a:r></a:p></a:txBody></a:tc>" * 5_000
    yield (
        "a row of many cells.pptx",
        slides(sp("Text") + frame(f"<a:tbl><a:tr>{cells}</a:tr></a:tbl>")),
    )
    for name, inner in (
        (
            "places",
            "<c:ser><c:val><c:numRef><c:numCache>"
            + "".join(f'<c:pt idx="{n * 10**6}"><c:v>1</c:v></c:pt>' for n in range(2_000))
            + "</c:numCache></c:numRef></c:val></c:ser>",
        ),
        (
            "negative places",
            '<c:ser><c:val><c:numRef><c:numCache><c:pt idx="-5"><c:v>1</c:v></c:pt></c:numCache></c:numRef></c:val></c:ser>',
        ),
        (
            "series",
            "".join(
                f'<c:ser><c:val><c:numRef><c:numCache><c:pt idx="{n}"><c:v>{n}</c:v></c:pt></c:numCache></c:numRef></c:val></c:ser>'
                for n in range(5_000)
            ),
        ),
        (
            "levels",
            "<c:ser><c:cat><c:multiLvlStrRef><c:multiLvlStrCache>"
            + '<c:lvl><c:pt idx="0"><c:v>Words</c:v></c:pt></c:lvl>' * MANY
            + "</c:multiLvlStrCache></c:multiLvlStrRef></c:cat></c:ser>",
        ),
        ("formats", ser("x", ["a"], [1], "0" * 100_000)),
        ("numbers", ser("x", ["a", "b", "c"], [float("inf"), float("nan"), 1e308], "#,##0.00")),
    ):
        yield (
            f"a chart of many {name}.pptx",
            slides(
                sp("Text") + frame('<c:chart r:id="c.xml"/>'),
                parts={"c.xml": ("chart", chart(inner))},
            ),
        )
    yield (
        "one chart often.pptx",
        slides(
            sp("Text") + frame('<c:chart r:id="c.xml"/>') * MANY,
            parts={"c.xml": ("chart", chart(ser("x", ["a"] * 2_000, [1] * 2_000)))},
        ),
    )


def _sheets() -> Iterator[File]:
    merges = "".join(f'<mergeCell ref="A{n}:XFD{10**6}"/>' for n in range(1, MANY))
    yield (
        "merges over merges.xlsx",
        workbook({"A": rows(*[["x", 1]] * 3_000) + f"<mergeCells>{merges}</mergeCells>"}),
    )
    yield (
        "a merge of no place.xlsx",
        workbook(
            {"A": rows(["x", 1]) + '<mergeCells><mergeCell ref="ZZZZ0:A9999999999"/></mergeCells>'}
        ),
    )
    yield (
        "cells far to the right.xlsx",
        workbook(
            {
                "A": "<sheetData>"
                + "".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in range(1, 3_000))
                + "</sheetData>"
            }
        ),
    )
    yield (
        "cells of no place.xlsx",
        workbook(
            {
                "A": f'<sheetData><row r="{HUGE}"><c r="ZZZZZZZZ{HUGE}"><v>1</v></c><c r="0"><v>2</v></c><c r=""><v>3</v></c></row></sheetData>'
            }
        ),
    )
    yield (
        "a string of no number.xlsx",
        workbook(
            {
                "A": '<sheetData><row r="1"><c r="A1" t="s"><v>999999999</v></c><c r="B1" t="s"><v>-1</v></c><c r="C1" t="s"><v>x</v></c><c r="D1"><v>7</v></c></row></sheetData>'
            }
        ),
    )
    yield (
        "rows in rows.xlsx",
        workbook(
            {
                "A": "<sheetData>"
                + "<row>" * 200
                + "<c><v>1</v></c>"
                + "</row>" * 200
                + "</sheetData>"
            }
        ),
    )
    for code in (
        "0" * 255,
        '"' * 254,
        "[" * 254,
        "#,##0" * 50,
        "?/" * 120,
        "%" * 200 + "0",
        ";" * 250,
        "[h]" * 80,
        "e+0" * 80,
        "y" * 250,
        "\\" * 254,
        "[>=" + "9" * 240 + "]0",
        "0," * 120,
    ):
        styles = (
            spreadsheet("x", "")
            and f'<numFmts><numFmt numFmtId="164" formatCode="{code.replace(chr(34), "&quot;").replace(">", "&gt;")}"/></numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="164"/></cellXfs>'
        )
        values = [[(value, 1) for value in (0, -1.5, 1e300, 46097.25, -1e-300)]] * 200
        yield (
            f"format {ord(code[0])} {len(code)}.xlsx",
            workbook({"A": rows(["x"], *values)}, styles=styles),
        )
    yield (
        "numbers that are none.xlsx",
        workbook(
            {
                "A": rows(
                    [(value, 0) for value in ("inf", "nan", "1e999", "--1", HUGE, "0x10")], ["x", 1]
                )
            }
        ),
    )
    yield (
        "names of columns without end.xlsx",
        workbook(
            {"A": rows([f"{'name ' * 300}{n}" for n in range(26)], *[[n] * 26 for n in range(800)])}
        ),
    )
    yield (
        "a print header without end.xlsx",
        workbook(
            {
                "A": rows(["x", 1])
                + "<headerFooter><oddHeader>"
                + "&amp;&quot;" * 100_000
                + "</oddHeader></headerFooter>"
            }
        ),
    )
    yield (
        "a table of no place.xlsx",
        workbook(
            {"A": rows(["x", "y"], [1, 2])},
            {
                "t.xml": (
                    "table",
                    spreadsheet("table", "").replace("<table ", '<table ref="A9999999:B1" '),
                )
            },
        ),
    )


def _books(canary: str) -> Iterator[File]:
    pages = [f"<h1>Chapter</h1><p>Words {n}</p>" for n in range(3)]
    book = files.epub(pages)
    opf = files.members(book)["The Book/content.opf"].decode()
    point = "<navPoint><navLabel><text>Words</text></navLabel><content src='chapter%201.xhtml'/>{}</navPoint>"
    ncx = '<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>{}</navMap></ncx>'
    deep = ""
    for _ in range(120):
        deep = point.format(deep)
    with_ncx = opf.replace(
        "</manifest>",
        '<item id="n" href="toc.ncx" media-type="application/x-dtbncx+xml"/></manifest>',
    )
    for name, contents in (
        ("deep", deep), ("long", point.format("") * MANY), ("of itself", point.format("").replace("chapter%201.xhtml", "toc.ncx")),
        ("outside", point.format("").replace("chapter%201.xhtml", canary)),
    ):  # fmt: skip
        data = files.with_member(book, "The Book/content.opf", with_ncx)
        yield (
            f"contents list {name}.epub",
            files.with_member(data, "The Book/toc.ncx", ncx.format(contents)),
        )
    yield (
        "package of itself.epub",
        files.with_member(
            book,
            "META-INF/container.xml",
            '<container><rootfiles><rootfile full-path="META-INF/container.xml"/></rootfiles></container>',
        ),
    )
    yield (
        "links upwards.epub",
        files.with_member(
            book,
            "The Book/content.opf",
            opf.replace('href="chapter', 'href="../../../../etc/chapter'),
        ),
    )
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{canary}"/>{"<g>" * 5_000}<text>Words</text></svg>'
    yield (
        "a deep drawing.epub",
        files.with_member(
            files.with_member(
                book,
                "The Book/content.opf",
                opf.replace(
                    'href="chapter%201.xhtml"',
                    'href="chapter%201.xhtml" media-type="image/svg+xml"',
                ),
            ),
            "The Book/chapter 1.xhtml",
            svg,
        ),
    )
    yield "a chapter of headings.epub", files.epub(["<h1>" * 100_000])


def _embedded() -> Iterator[File]:
    inner = workbook({"A": rows(["x", 1])})
    doll = inner
    for _ in range(8):
        doll = workbook({"A": rows(["x", 1])}, {"e.xlsx": ("package", doll)})
    yield "workbooks in workbooks.xlsx", doll
    many = {f"e{n}.xlsx": ("package", inner) for n in range(300)}
    yield "many workbooks.xlsx", workbook({"A": rows(["x", 1])}, many)
    for name, data in (
        ("a bomb", files.zipped({"xl/workbook.xml": bytes(60 * hostile.MIB)})),
        ("noise", bytes(range(256)) * 100), ("nothing", b""), ("a password", files.encrypted_office()),
        ("a torn file", inner[:-200]), ("another kind", files.pdf(["Page"])),
    ):  # fmt: skip
        yield (
            f"embedded {name}.xlsx",
            workbook({"A": rows(["x", 1])}, {"e.xlsx": ("package", data)}),
        )
        yield (
            f"embedded {name}.docx",
            word(
                TEXT + '<w:p><w:r><w:object><o:OLEObject r:id="e.xlsx"/></w:object></w:r></w:p>',
                {"e.xlsx": ("package", data)},
            ),
        )
    yield (
        "an object of a picture.pptx",
        slides(
            sp("Text") + frame('<p:oleObj r:id="e.bin"/>'),
            parts={"e.bin": ("oleObject", b"\xd0\xcf\x11\xe0" + bytes(5_000))},
        ),
    )
    yield "an object that is not there.pptx", slides(sp("Text") + frame('<p:oleObj r:id="gone"/>'))
