"""Makes at least 200 hostile files, always the same ones for a seed: bombs, loops, lies, references
to a server that must not be called, damage, and names.

Each file is small (the largest has 10 MB); what they want to become is not. But the text of those
that can be read is short: the embedding of a megabyte of commas takes minutes and shows nothing.
"""

import io
import random
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator

from tests.processing import files

MIB = 1024**2
File = tuple[str, bytes]  # the name as it is sent, the content

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def documents(canary: str, seed: int = 3) -> list[File]:
    """All of them; `canary` is a URL that nobody may ask."""
    rng = random.Random(seed)
    made = [
        *_archive_bombs(rng),
        *_entities(canary),
        *_external_references(canary),
        *_pdfs(canary, rng),
        *_texts(rng),
        *_markup(rng),
        *_damaged(rng),
    ]
    numbered = [(f"{n:03} {name}", content) for n, (name, content) in enumerate(made)]
    return [*numbered, *_names()]


# Archives


def _archive_bombs(rng: random.Random) -> Iterator[File]:
    docx, xlsx, pptx = files.docx([("Normal", "x")]), files.xlsx({"A": [["x"]]}), _deck()
    yield "flat bomb.docx", files.with_member(docx, "word/document.xml", bytes(60 * MIB))
    yield "unused bomb.pptx", files.with_member(pptx, "ppt/media/image1.png", bytes(60 * MIB))
    yield "overlapping.docx", overlapping(docx, "word/document.xml", 5_000)
    yield "overlapping.xlsx", overlapping(xlsx, "xl/worksheets/sheet1.xml", 9_000)
    yield "nested.docx", files.with_member(docx, "word/embeddings/inner.zip", _nested(12))
    yield "many members.epub", files.zipped({"mimetype": files.EPUB} | _empty_members(10_500))
    yield "lying sizes.docx", _lying(docx, "word/document.xml", 10)
    yield "lying huge.docx", _lying(docx, "word/document.xml", 2**32 - 2)
    yield "huge paragraphs.docx", files.with_member(docx, "word/document.xml", _paragraphs(rng))
    yield "huge strings.xlsx", files.with_member(xlsx, "xl/sharedStrings.xml", _strings(rng))
    yield "huge sheet.xlsx", files.with_member(xlsx, "xl/worksheets/sheet1.xml", _far_cells(rng))
    yield "huge slide.pptx", files.with_member(pptx, "ppt/slides/slide1.xml", _shapes(rng))
    yield "one sheet often.xlsx", one_sheet_often()
    yield "one chapter often.epub", one_chapter_often()
    yield "long rows.xlsx", files.with_member(xlsx, "xl/worksheets/sheet1.xml", _empty_rows())
    yield (
        "deep xml.docx",
        files.with_member(
            docx, "word/document.xml", f"<a>{'<b>' * 400_000}x{'</b>' * 400_000}</a>"
        ),
    )
    yield "deep tables.docx", files.with_member(docx, "word/document.xml", _deep_tables(200))
    yield (
        "one attribute.docx",
        files.with_member(docx, "word/document.xml", f'<a b="{_noise(rng, 11 * MIB)}"/>'),
    )
    yield "style loop.docx", style_loop(5_000)
    yield "absolute part.docx", files.with_member(docx, "../../../../etc/cron.d/x", "x")
    yield "no parts.docx", files.zipped({"[Content_Types].xml": "<Types/>"})
    yield "bzip2.docx", _recompressed(docx, zipfile.ZIP_BZIP2)
    yield "lzma.xlsx", _recompressed(xlsx, zipfile.ZIP_LZMA)


def _deck() -> bytes:
    return files.pptx([("Title", "text", "notes")])


def overlapping(data: bytes, name: str, count: int) -> bytes:
    """The directory names one compressed stream `count` times, each as a member of its own."""
    data = files.with_member(data, name, bytes(300_000) + b"x")
    end = data.rindex(b"PK\x05\x06")
    (start,) = struct.unpack("<I", data[end + 16 : end + 20])
    entry_start = data.rindex(b"PK\x01\x02", start, data.rindex(name.encode(), start, end) + 1)
    name_start = entry_start + 46
    entry = data[entry_start : name_start + len(name)]
    directory = data[start:end] + entry * count
    members = struct.unpack("<H", data[end + 10 : end + 12])[0] + count
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, members, members, len(directory), start, 0)
    return data[:start] + directory + tail


def _nested(depth: int) -> bytes:
    inner = bytes(MIB)
    for _ in range(depth):
        inner = files.zipped({f"{number}.zip": inner for number in range(4)})
    return inner


def _empty_members(count: int) -> dict[str, str | bytes]:
    return {f"{number}": "" for number in range(count)}


def _lying(data: bytes, name: str, size: int) -> bytes:
    """The directory declares `size` bytes for a member."""
    start = data.rindex(b"PK\x01\x02", 0, data.rindex(name.encode()))
    return data[: start + 24] + struct.pack("<I", size) + data[start + 28 :]


def _noise(rng: random.Random, length: int) -> str:
    """Text that compresses about tenfold, below the ratio that gives a bomb away."""
    block = "".join(rng.choices("abcdefghijklmnop ", k=4_000))
    step = "".join(rng.choices("abcdefghijklmnop ", k=60_000))
    text = "".join(block + step[start : start + 400] for start in range(0, 40_000, 100))
    return (text * (length // len(text) + 1))[:length]


def _paragraphs(rng: random.Random) -> str:
    words = _noise(rng, 40 * MIB)
    body = "".join(
        f"<w:p><w:r><w:instrText>{words[start : start + 80]}</w:instrText></w:r></w:p>"
        for start in range(0, len(words), 80)
    )
    text = "<w:p><w:r><w:t>text</w:t></w:r></w:p>"
    return f'<w:document xmlns:w="{W}"><w:body>{body}{text}</w:body></w:document>'


def _strings(rng: random.Random) -> str:
    words = _noise(rng, 20 * MIB)
    items = "".join(
        f"<si><t>{words[start : start + 40]}</t></si>" for start in range(0, len(words), 40)
    )
    return f'<sst xmlns="{S}">{items}</sst>'


def _far_cells(rng: random.Random) -> str:
    """Rows and cells at the far ends of the sheet, with numbers of their own."""
    rows = "".join(
        f'<row r="{number}"><c r="XFD{number}"><v>{rng.random()}</v></c></row>'
        for number in range(1, 1_048_576, 40)
    )
    return f'<worksheet xmlns="{S}"><sheetData>{rows}</sheetData></worksheet>'


def _empty_rows() -> str:
    rows = "<row/>" * 1_000_000 + '<row r="9999999"/>'
    return f'<worksheet xmlns="{S}"><sheetData>{rows}</sheetData></worksheet>'


def _shapes(rng: random.Random) -> str:
    run = "<p:sp><p:txBody><a:p name='{}'><a:r><a:t/></a:r></a:p></p:txBody></p:sp>"
    shapes = "".join(run.format(rng.random()) for _ in range(60_000))
    return (
        '<p:sld xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
        'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main">'
        f"<p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"
    )


def one_sheet_often() -> bytes:
    """A workbook of 5,000 sheets that are all the same part of 4 MB."""
    sheets = "".join(f'<sheet name="s{n}" sheetId="{n}" r:id="rId1"/>' for n in range(1, 5_000))
    workbook = f'<workbook xmlns="{S}" xmlns:r="{OFFICE}"><sheets>{sheets}</sheets></workbook>'
    padding = f"<!--{_noise(random.Random(1), 4 * MIB)}-->"
    sheet = f'<worksheet xmlns="{S}">{padding}<sheetData/></worksheet>'
    data = files.with_member(files.xlsx({"A": [["x"]]}), "xl/workbook.xml", workbook)
    return files.with_member(data, "xl/worksheets/sheet1.xml", sheet)


def one_chapter_often() -> bytes:
    """A book that names its chapter of 4 MB 20,000 times."""
    chapter = f"<html><body><!--{_noise(random.Random(1), 4 * MIB)}--><p>again</p></body></html>"
    spine = '<itemref idref="c0"/>' * 20_000
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><manifest>'
        f'<item id="c0" href="chapter%201.xhtml"/></manifest><spine>{spine}</spine></package>'
    )
    data = files.with_member(files.epub(["x"]), "The Book/chapter 1.xhtml", chapter)
    return files.with_member(data, "The Book/content.opf", package)


def _deep_tables(depth: int) -> str:
    opened = "<w:tbl><w:tr><w:tc>" * (depth // 3)
    closed = "</w:tc></w:tr></w:tbl>" * (depth // 3)
    text = "<w:p><w:r><w:t>deep</w:t></w:r></w:p>" * 2_000
    return f'<w:document xmlns:w="{W}"><w:body>{opened}{text}{closed}</w:body></w:document>'


def style_loop(count: int) -> bytes:
    """A document whose styles are each based on the next, the last one on the first."""
    styles = "".join(
        f'<w:style w:styleId="s{n}"><w:basedOn w:val="s{(n + 1) % count}"/></w:style>'
        for n in range(count)
    )
    xml = f'<w:styles xmlns:w="{W}">{styles}</w:styles>'
    return files.with_member(files.docx([("Normal", "x")]), "word/styles.xml", xml)


def _recompressed(data: bytes, method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w", method) as copy:
        for name in archive.namelist():
            copy.writestr(zipfile.ZipInfo(name), archive.read(name), method)
    return out.getvalue()


# Entities, and what asks to be fetched


def _entities(canary: str) -> Iterator[File]:
    laughs = ['<!ENTITY e0 "ha">']
    laughs += [f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10)]
    kinds = {
        "laughs": f"<!DOCTYPE x [{''.join(laughs)}]>",
        "quadratic": f'<!DOCTYPE x [<!ENTITY e9 "{"a" * 100_000}">]>',
        "external": f'<!DOCTYPE x [<!ENTITY e9 SYSTEM "{canary}">]>',
        "parameter": f'<!DOCTYPE x [<!ENTITY % p SYSTEM "{canary}"> %p; <!ENTITY e9 "">]>',
        "dtd": f'<!DOCTYPE x SYSTEM "{canary}" [<!ENTITY e9 "x">]>',
        "file": '<!DOCTYPE x [<!ENTITY e9 SYSTEM "file:///etc/passwd">]>',
        "recursive": '<!DOCTYPE x [<!ENTITY e9 "&e8;"><!ENTITY e8 "&e9;">]>',
    }
    for kind, doctype in kinds.items():
        entity = "&e9;" * (2_000 if kind == "quadratic" else 1)
        for name, content in _with_entity(doctype, entity):
            yield f"{kind} {name}", content


def _with_entity(doctype: str, entity: str) -> Iterator[File]:
    relations = f'{doctype}<Relationships xmlns="{RELATIONS}">{entity}</Relationships>'
    text = f"<w:p><w:r><w:t>read {entity}</w:t></w:r></w:p>"
    body = f'{doctype}<w:document xmlns:w="{W}"><w:body>{text}</w:body></w:document>'
    strings = f'{doctype}<sst xmlns="{S}"><si><t>{entity}</t></si></sst>'
    package = f'{doctype}<package xmlns="http://www.idpf.org/2007/opf">{entity}</package>'
    page = f"{doctype}<html><body><p>{entity} text</p></body></html>"
    docx, xlsx = files.docx([("Normal", "x")]), files.xlsx({"A": [["x"]]})
    yield "rels.docx", files.with_member(docx, "_rels/.rels", relations)
    yield "body.docx", files.with_member(docx, "word/document.xml", body)
    yield "rels.pptx", files.with_member(_deck(), "_rels/.rels", relations)
    yield "strings.xlsx", files.with_member(xlsx, "xl/sharedStrings.xml", strings)
    yield "package.epub", files.with_member(files.epub(["x"]), "The Book/content.opf", package)
    yield "page.html", page.encode()


def _external_references(canary: str) -> Iterator[File]:
    docx, pptx, xlsx = files.docx([("Normal", "text")]), _deck(), files.xlsx({"A": [["x"]]})
    kinds = ("image", "attachedTemplate", "hyperlink", "oleObject", "frame", "footnotes")
    outside = "".join(
        f'<Relationship Id="out{n}" Type="{OFFICE}/{kind}" Target="{canary}" '
        'TargetMode="External"/>'
        for n, kind in enumerate(kinds)
    )
    for name, data, part in (
        ("references.docx", docx, "word/_rels/document.xml.rels"),
        ("references.pptx", pptx, "ppt/slides/_rels/slide1.xml.rels"),
        ("references.xlsx", xlsx, "xl/_rels/workbook.xml.rels"),
    ):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            relations = archive.read(part).decode()
        ending = "</Relationships>"
        yield name, files.with_member(data, part, relations.replace(ending, outside + ending))
    page = (
        f'<html><head><base href="{canary}"><link rel="stylesheet" href="{canary}">'
        f'<meta http-equiv="refresh" content="0;url={canary}"><script src="{canary}"></script>'
        f'</head><body background="{canary}"><p>text</p><img src="{canary}" srcset="{canary} 2x">'
        f'<iframe src="{canary}"></iframe><object data="{canary}"></object>'
        f'<embed src="{canary}">'
        f'<svg><image href="{canary}"/><use href="{canary}#x"/></svg><video poster="{canary}">'
        f"<style>@import url({canary}); p {{background: url({canary})}}</style></body></html>"
    )
    yield "references.html", page.encode()
    yield "references.epub", files.epub([page])
    markdown = f"# Text\n\n![image]({canary})\n\n<img src='{canary}'>\n\n[a]: {canary}\n"
    yield "references.md", markdown.encode()
    yield "references.csv", f'a,b\n"=WEBSERVICE(""{canary}"")",=cmd|\'/c calc\'!A1\n'.encode()


# PDF


def _pdfs(canary: str, rng: random.Random) -> Iterator[File]:
    good = files.pdf(["A page.", "Another page."])
    start = int(good[good.rindex(b"startxref") + 9 : good.rindex(b"%%EOF")])
    url = canary.encode()
    yield "circular prev.pdf", good.replace(b"/Size", b"/Prev %d/Size" % start)
    yield "circular kids.pdf", good.replace(b"/Kids[4 0 R", b"/Kids[2 0 R")
    yield "kids of themselves.pdf", _pdf({2: b"<</Type/Pages/Count 3/Kids[2 0 R 2 0 R 2 0 R]>>"})
    yield "shared pages.pdf", files.pdf_of_shared_pages(200_000)
    yield "page tree bomb.pdf", _page_tree_bomb(9, 10)
    yield "lying count.pdf", good.replace(b"/Count 2", b"/Count 2147483647")
    yield "negative count.pdf", good.replace(b"/Count 2", b"/Count -2")
    yield "huge stream.pdf", huge_stream()
    yield (
        "twice deflated.pdf",
        _pdf_with_stream(
            zlib.compress(_deflated(2_000 * MIB)), b"/Filter[/FlateDecode/FlateDecode]"
        ),
    )
    yield (
        "filter loop.pdf",
        _pdf_with_stream(b"x", b"/Filter[%s]" % (b"/ASCIIHexDecode " * 100_000)),
    )
    yield (
        "predictor.pdf",
        _pdf_with_stream(
            zlib.compress(bytes(10_000)),
            b"/Filter/FlateDecode/DecodeParms<</Predictor 15/Columns 2147483647/Colors 32>>",
        ),
    )
    yield "no endstream.pdf", good.replace(b"endstream", b"")
    yield "xref past the end.pdf", good.replace(b"startxref\n%d" % start, b"startxref\n999999999")
    yield "xref of a billion.pdf", good.replace(b"xref\n0 ", b"xref\n0 999999999")
    yield "deep arrays.pdf", _pdf_with_stream(b"[" * 1_000_000 + b"]" * 1_000_000, b"")
    yield "deep objects.pdf", _pdf({3: b"[" * 500_000 + b"]" * 500_000})
    yield "deep dictionaries.pdf", _pdf({3: b"<</A" * 300_000 + b"1" + b">>" * 300_000})
    yield "encrypted.pdf", files.encrypted_pdf()
    yield "images.pdf", files.image_only_pdf()
    yield "nul text.pdf", _pdf_with_stream(b"BT /F1 12 Tf 50 700 Td (a\\000b\\000c) Tj ET", b"")
    yield "form calls itself.pdf", _form_loop()
    yield (
        "much text.pdf",
        _pdf_with_stream(
            zlib.compress(b"BT /F1 9 Tf 50 700 Td " + b"(word and word) Tj " * 400_000 + b"ET"),
            b"/Filter/FlateDecode",
        ),
    )
    yield (
        "operators.pdf",
        _pdf_with_stream(zlib.compress(b"q " * 5_000_000), b"/Filter/FlateDecode"),
    )
    yield "bookmark loop.pdf", _bookmark_loop()
    yield "object streams.pdf", good.replace(b"/Size", b"/XRefStm 15/Size")
    yield "length is itself.pdf", _pdf({5: b"<</Length 5 0 R>>stream\nx\nendstream"})
    actions = b"/OpenAction<</S/URI/URI(%s)>>/AA<</O<</S/SubmitForm/F(%s)>>>>" % (url, url)
    yield "actions.pdf", good.replace(b"/Type/Catalog", b"/Type/Catalog" + actions)
    launch = b"/OpenAction<</S/Launch/F(/bin/sh)>>/Names<</JavaScript<</Names[(a)<</S/JavaScript/JS"
    launch += b"(app.launchURL\\('%s'\\))>>]>>>>" % url
    yield "javascript.pdf", good.replace(b"/Type/Catalog", b"/Type/Catalog" + launch)
    yield "external stream.pdf", _pdf_with_stream(b"", b"/F<</FS/URL/F(%s)>>" % url)
    yield "only a header.pdf", b"%PDF-1.7\n"
    yield "no header but objects.pdf", b"%PDF-" + rng.randbytes(50_000)
    yield "objects without end.pdf", b"%PDF-1.4\n" + b"1 0 obj " * 500_000
    yield "pages without tree.pdf", b"%PDF-1.4\n" + b"1 0 obj<</Type/Page>>endobj\n" * 100_000


def _pdf(replaced: dict[int, bytes]) -> bytes:
    """Objects 1 catalogue, 2 page tree, 3 font, 4 page, 5 its content; some of them replaced."""
    objects, root = files._pdf_objects([b"BT /F1 12 Tf 50 700 Td (text) Tj ET"])
    for number, body in replaced.items():
        objects[number - 1] = body
    return files._pdf_file(objects, root)


def huge_stream() -> bytes:
    """A page whose content inflates to 2 GB."""
    return _pdf_with_stream(_deflated(2_000 * MIB), b"/Filter/FlateDecode")


def _pdf_with_stream(stream: bytes, entries: bytes) -> bytes:
    return _pdf({5: b"<</Length %d%s>>stream\n%s\nendstream" % (len(stream), entries, stream)})


def _deflated(size: int) -> bytes:
    """So many spaces, made from one compressed block that is repeated."""
    compressor = zlib.compressobj(9)
    data = compressor.compress(b" " * MIB) + compressor.flush(zlib.Z_FULL_FLUSH)
    block = compressor.compress(b" " * MIB) + compressor.flush(zlib.Z_FULL_FLUSH)
    return data + block * (size // MIB - 1)


def _page_tree_bomb(depth: int, width: int) -> bytes:
    """Each level names the next one ten times: a thousand million pages."""
    objects, root = files._pdf_objects([b"BT /F1 12 Tf 50 700 Td (again) Tj ET"])
    first = len(objects) + 1
    objects[1] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (width**depth, b"%d 0 R " % first * width)
    for level in range(depth):
        kid = first + level + 1 if level < depth - 1 else 4
        kids = b"%d 0 R " % kid * width
        objects.append(b"<</Type/Pages/Count %d/Kids[%s]>>" % (width ** (depth - level - 1), kids))
    return files._pdf_file(objects, root)


def _form_loop() -> bytes:
    """A form that draws itself twice."""
    form = (
        b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 6 0 R>>>>/Length 10>>"
    )
    objects, root = files._pdf_objects([b"/X Do /X Do"])
    objects[3] = objects[3].replace(b"/Resources<<", b"/Resources<</XObject<</X 6 0 R>>")
    objects.append(form + b"stream\n/X Do /X Do\nendstream")
    return files._pdf_file(objects, root)


def _bookmark_loop() -> bytes:
    data = files.pdf(["Chapter"], outline=[("Chapter", 1)])
    return data.replace(b"/Title(Chapter)", b"/Title(Chapter)/Next 7 0 R/First 7 0 R")


# Text


def _texts(rng: random.Random) -> Iterator[File]:
    yield "empty.txt", b""
    yield "spaces.txt", b" \n\t" * 1_000
    yield "nul.txt", b"one\0two\0three " * 1_000
    yield "surrogates.txt", b"lone \xed\xa0\x80 and \xed\xb0\x80 text " * 1_000
    yield "surrogates.md", b"# \xed\xa0\x80\n\ntext \xed\xa0\xbd\n"
    yield "overlong.txt", b"\xc0\xaf..\xc0\xaf text " * 1_000
    yield "utf-16 without mark.txt", "Text ohne Marke, länger.".encode("utf-16-le") * 50
    yield "utf-16 odd.txt", "odd text".encode("utf-16") + b"x"
    yield "utf-32.txt", "text in four bytes".encode("utf-32")
    yield "utf-7.html", b"<meta charset=utf-7><p>+ADw-script+AD4-</p> text"
    yield "charset that runs code.html", b"<meta charset=bz2_codec><p>text \xff\xfe\xe9</p>"
    yield "one line.txt", b"word " * 2_000
    yield "one line of spaces.txt", b" " * (5 * MIB) + b"text" + b" " * (5 * MIB) + b"x"
    yield "one word.txt", b"x" * 10_000
    yield "one word of four bytes.txt", "\U0001f600".encode() * 3_000 + b" text"
    yield "right to left.txt", "\u202eabc\u202c \u2066def\u2069 ".encode() * 500
    yield "zero width.md", "# a\u200bb\u200c\u200d\ufeff\n\nte\u00adxt\n".encode() * 500
    yield "combining.txt", ("a" + "\u0301" * 2_000 + " ").encode() * 4
    yield "normalisation.txt", "\ufdfa".encode() * 1_000
    yield "line ends.txt", b"a\r\r\n\x0b\x0c\x85\r" * 100_000
    yield "many lines.txt", b"a\n" * 3_000 + b"\n" * MIB + b"b"
    yield "random.txt", rng.randbytes(100_000)
    yield "latin-1.txt", "Größe über alles, déjà vu. ".encode("latin-1") * 1_000
    yield "headings.md", b"# a\n" * 300_000
    yield "spaces in a heading.md", b"# a" + b" " * 20_000 + b"x\n"
    yield "brackets.md", b"# " + b"[" * 5_000 + b" text\n"
    yield "fences.md", b"```\n~~~\n" * 800 + b"text"
    yield "front matter.md", b"---\n" + b"a: &a [*a, *a]\n" * 1_000 + b"---\ntext\n"
    yield "quotes.csv", b'"' * 5_001 + b"text"
    yield "columns.csv", b"a," * 3_000 + b"b\n"
    yield "rows.csv", b"a,b\n" * 1_500
    yield "sniffing.csv", b"'\"," * 2_700 + b"a\n" * 1_000
    yield "unclosed.csv", b'a,"b\n' + b"c,d\n" * 1_500


def _markup(rng: random.Random) -> Iterator[File]:
    yield "deep.html", b"<div>" * 500_000 + b"text"
    yield "deep inline.html", b"<b><i>" * 300_000 + b"text"
    yield "deep tables.html", b"<table><tr><td>" * 100_000 + b"text"
    yield "deep lists.html", b"<ul><li>" * 3_000 + b"text"
    yield "misnested.html", b"<b><p></b><a><div></a>" * 100_000 + b"text"
    yield "attributes.html", b"<p " + b" ".join(b"a%d" % n for n in range(300_000)) + b">text"
    yield "open tags.html", b"<a " * MIB + b"text"
    yield "comments.html", b"<!--" * MIB + b"--> text"
    yield "entities.html", b"&amp" * 5_000 + b"&#x110000;&#0; text"
    yield "headings.html", b"<h1>a</h1>" * 300_000
    yield "script.html", b"<script>" + rng.randbytes(1_000).hex().encode() * 1_000
    yield "plaintext.html", b"<plaintext>" + b"</plaintext><p>" * 3_000 + b"text"
    yield "deep.epub", files.epub(["<div>" * 200_000 + "text"])
    yield "headings.epub", files.epub(["<h1>a</h1>" * 5_000] * 50)


# Damage, and names


def _damaged(rng: random.Random) -> Iterator[File]:
    """Nine truncations and flips of each good sample, from one byte to a fiftieth of them."""
    for name, data in files.samples().values():
        for number in range(4):
            yield f"cut {number} {name}", data[: rng.randrange(1, len(data))]
        for number, share in enumerate((0.0, 0.0004, 0.002, 0.01, 0.02)):
            flipped = bytearray(data)
            for _ in range(1 + int(share * len(data))):
                flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            yield f"flip {number} {name}", bytes(flipped)


def _names() -> Iterator[File]:
    content = b"# Text\n\nNothing is wrong with the content.\n"
    yield "../../../../etc/passwd.md", content
    yield "..\\..\\windows\\system32\\x.md", content
    yield "/absolute.md", content
    yield "nul\0byte.md", content
    yield "a.php\0.md", content
    yield "right\u202edm.exe.md", content
    yield "zero\u200bwidth\ufeff.md", content
    yield "a" * 300 + ".md", content
    yield "ä" * 200 + ".md", content
    yield "😀" * 120 + ".md", content
    yield unicodedata.normalize("NFD", "überzählig.md"), content
    yield "CON.md", content
    yield ".md", content
    yield "..md", content
    yield "...", content
    yield " .md", content
    yield "trailing.md. . ", content
    yield 'quote".md', content
    yield "line\r\nX-Injected: 1.md", content
    yield "<script>alert(1)</script>.md", content
    yield "'; DROP TABLE documents_document; --.md", content
    yield "{{7*7}}%s%n$(id).md", content
    yield "=cmd|'/c calc'!A1.md", content
    yield "archive.pdf.exe", content
    yield "picture.png", b"\x89PNG\r\n\x1a\n" + bytes(100)
    yield "a workbook.docx", files.xlsx({"A": [["x"]]})
    yield "a page.pdf", b"<html>no PDF</html>"
    yield "a program.txt", b"\x7fELF" + bytes(1_000)
    yield "a zip.md", files.zipped({"a": "b"})
    yield "old office.docx", files.encrypted_office()
    yield "polyglot.pdf", b"<html>%PDF-1.4" + files.zipped({"a": "b"})
