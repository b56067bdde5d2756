"""Makes small PDFs of every kind that is hard to read, as bytes; written by hand, so that each says
what is special about it.
"""

import zlib
from collections.abc import Sequence

A4 = b"/MediaBox[0 0 595 842]"
HELVETICA = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"
NOISE = zlib.compress(bytes(range(256)) * 12)
PICTURE = (
    b"<</Type/XObject/Subtype/Image/Width 32/Height 32/BitsPerComponent 8/ColorSpace/DeviceRGB"
    b"/Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (len(NOISE), NOISE)
)
FULL_PAGE = b"q 595 0 0 842 0 0 cm /Im Do Q "


class Pdf:
    """A document under construction. Fonts are named F1 (Helvetica), F2, ..., the picture Im."""

    def __init__(self, *fonts: bytes) -> None:
        self.objects: list[bytes] = [b"", b""]  # the catalogue and the tree of pages
        self.pages: list[int] = []
        numbers = [self.add(font) for font in (HELVETICA, *fonts)]
        names = b"".join(b"/F%d %d 0 R" % each for each in enumerate(numbers, 1))
        picture = self.add(PICTURE)
        self.resources = b"/Resources<</Font<<%s>>/XObject<</Im %d 0 R>>>>" % (names, picture)

    def add(self, body: bytes) -> int:
        """An object; its number."""
        self.objects.append(body)
        return len(self.objects)

    def stream(self, data: bytes, entries: bytes = b"") -> int:
        return self.add(b"<<%s/Length %d>>stream\n%s\nendstream" % (entries, len(data), data))

    def page(self, content: bytes = b"", entries: bytes = b"", box: bytes = A4) -> None:
        contents = self.stream(content)
        body = b"<</Type/Page/Parent 2 0 R%s%s/Contents %d 0 R%s>>"
        self.pages.append(self.add(body % (box, self.resources, contents, entries)))

    def saved(self, catalog: bytes = b"", trailer: bytes = b"") -> bytes:
        kids = b" ".join(b"%d 0 R" % number for number in self.pages)
        self.objects[0] = b"<</Type/Catalog/Pages 2 0 R%s>>" % catalog
        self.objects[1] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(self.pages), kids)
        out = bytearray(b"%PDF-1.7\n")
        offsets = []
        for number, body in enumerate(self.objects, 1):
            offsets.append(len(out))
            out += b"%d 0 obj%s endobj\n" % (number, body)
        start, size = len(out), len(self.objects) + 1
        out += b"xref\n0 %d\n0000000000 65535 f \n" % size
        out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
        out += b"trailer<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n" % (
            size,
            trailer,
            start,
        )
        return bytes(out)


def said(x: float, y: float, text: str, size: int = 11, font: int = 1) -> bytes:
    """The operators that write this text there."""
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    place = (b"/F%d %d Tf %.2f %.2f Td" % (font, size, x, y), escaped.encode("cp1252"))
    return b"BT %s (%s) Tj ET " % place


def lines(*texts: str, x: float = 72, top: float = 780) -> bytes:
    return b"".join(said(x, top - 14 * number, text) for number, text in enumerate(texts))


def of_page(content: bytes, entries: bytes = b"", box: bytes = A4, *fonts: bytes) -> bytes:
    document = Pdf(*fonts)
    document.page(content, entries, box)
    return document.saved()


def mixed_scan(scanned: int = 5) -> bytes:
    """A page of text, and some that are images."""
    document = Pdf()
    document.page(said(72, 700, "Resale package: cover page"))
    for _ in range(scanned):
        document.page(FULL_PAGE)
    return document.saved()


def stamped_scan(pages: int = 3) -> bytes:
    """Images with the scanner's own line on each."""
    document = Pdf()
    for number in range(1, pages + 1):
        document.page(FULL_PAGE + said(50, 20, f"Scanned by the office, page {number}", 8))
    return document.saved()


def recognised_scan() -> bytes:
    """An image with the recognised text behind it, as text recognition leaves it."""
    rows = [f"Line {n} of the recognised text under the picture." for n in range(12)]
    return of_page(FULL_PAGE + b"BT 3 Tr ET " + lines(*rows))


def table(rows: Sequence[Sequence[str]], by_column: bool = False, width: int = 120) -> bytes:
    """The content of a page with a table, drawn row by row or column by column."""
    cells = [
        (72 + width * column, 740 - 18 * row, cell)
        for row, texts in enumerate(rows)
        for column, cell in enumerate(texts)
        if cell
    ]
    return b"".join(said(*cell) for cell in (sorted(cells) if by_column else cells))


def form() -> bytes:
    """Fields with values and no appearance: a text, a ticked box and one that is not, a secret."""
    document = Pdf()
    field = b"<</Type/Annot/Subtype/Widget/P 99 0 R/Rect[%s]/T(%s)%s>>"
    fields = [
        document.add(field % each)
        for each in (
            (b"150 696 350 716", b"name", b"/FT/Tx/V(Marguerite Ollivander)"),
            (b"150 656 166 672", b"paid", b"/FT/Btn/V/Yes/AS/Yes"),
            (b"150 616 166 632", b"sick", b"/FT/Btn/V/Off/AS/Off"),
            (b"150 576 350 596", b"pin", b"/FT/Tx/Ff 8192/V(hunter2)"),
        )
    ]
    references = b" ".join(b"%d 0 R" % number for number in fields)
    labels = ((700, "Name:"), (660, "Paid leave:"), (620, "Sick leave:"), (580, "Code:"))
    content = b"".join(said(72, y, label) for y, label in labels) + said(72, 500, "End of form.")
    document.page(content, b"/Annots[%s]" % references)
    catalog = b"/AcroForm<</Fields[%s]/NeedAppearances true/DA(/F1 11 Tf 0 g)>>" % references
    return document.saved(catalog)


def annotated(content: bytes = b"") -> bytes:
    """A typed remark, a note, and a hidden one."""
    annotation = b"<</Type/Annot/Subtype/%s/Rect[72 600 300 630]/Contents(%s)%s>>"
    document = Pdf()
    numbers = [
        document.add(annotation % each)
        for each in (
            (b"FreeText", b"Typed on the page", b"/DA(/F1 11 Tf 0 g)"),
            (b"Text", b"Sticky note about the boiler", b""),
            (b"Text", b"Never seen", b"/F 2"),
        )
    ]
    document.page(content, b"/Annots[%s]" % b" ".join(b"%d 0 R" % number for number in numbers))
    return document.saved()


def with_files(files: dict[str, bytes], content: bytes = b"", catalog: bytes = b"") -> bytes:
    """A document with files inside; with /Collection in the catalogue it is a portfolio."""
    document = Pdf()
    document.page(content)
    names = []
    for name, data in files.items():
        stream = document.stream(data, b"/Type/EmbeddedFile")
        specification = b"<</Type/Filespec/F(%s)/UF(%s)/EF<</F %d 0 R>>>>"
        number = document.add(specification % (name.encode(), name.encode(), stream))
        names.append(b"(%s)%d 0 R" % (name.encode(), number))
    tree = b"/Names<</EmbeddedFiles<</Names[%s]>>>>" % b"".join(names)
    return document.saved(tree + catalog)


def portfolio(files: dict[str, bytes]) -> bytes:
    cover = said(72, 700, "For the best experience, open this PDF portfolio in Acrobat.")
    return with_files(files, cover, b"/Collection<</View/D>>")


def xfa(packets: bytes) -> bytes:
    """A form whose page asks to wait until Adobe's program has drawn it."""
    document = Pdf()
    stream = document.stream(packets)
    document.page(said(72, 700, "Please wait..."))
    return document.saved(b"/AcroForm<</Fields[]/XFA %d 0 R>>" % stream, b"")


XFA = (
    b'<xdp:xdp xmlns:xdp="http://ns.adobe.com/xdp/">'
    b'<template xmlns="http://www.xfa.org/schema/xfa-template/3.0/"><subform>'
    b"<draw><value><text>Grant application</text></value></draw>"
    b'<field name="who"><caption><value><text>Applicant:</text></value></caption></field>'
    b'</subform></template><xfa:datasets xmlns:xfa="http://www.xfa.org/schema/xfa-data/1.0/">'
    b"<xfa:data><form><who>Rosalind Pemberton</who><sum>12500</sum></form></xfa:data>"
    b"</xfa:datasets></xdp:xdp>"
)


def composite(encoding: str, ordering: str, width: int = 1000) -> bytes:
    """A Chinese, Japanese or Korean font that is not in the file."""
    descriptor = b"/FontDescriptor<</Type/FontDescriptor/FontName/X/Flags 4/StemV 80%s>>" % (
        b"/FontBBox[0 -200 1000 900]/ItalicAngle 0/Ascent 859/Descent -141/CapHeight 800"
    )
    inner = b"<</Type/Font/Subtype/CIDFontType2/BaseFont/X/DW %d%s%s>>" % (
        width,
        b"/CIDSystemInfo<</Registry(Adobe)/Ordering(%s)/Supplement 0>>" % ordering.encode(),
        descriptor,
    )
    return b"<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/%s/DescendantFonts[%s]>>" % (
        encoding.encode(),
        inner,
    )


def shown(data: bytes, font: int = 2) -> bytes:
    """These bytes in a font of their own."""
    return b"BT /F%d 12 Tf 60 700 Td <%s> Tj ET " % (font, data.hex().encode())
