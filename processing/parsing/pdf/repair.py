"""Saves what can be saved of a PDF whose page tree is lost: an interrupted download, a hole in the
file.
"""

import re

_OBJECT = re.compile(rb"(?<![0-9])(\d{1,7}) \d{1,5} obj\b")
_PAGE = re.compile(rb"/Type\s*/Page\b")
_ENCRYPT = re.compile(rb"/Encrypt\b")


def salvage(data: bytes) -> bytes | None:
    """A new PDF of all complete objects, with the surviving pages in the order of the file; None
    when there are none.

    Page numbers then count the pages that survived. PDFium itself rebuilds a lost cross-reference
    table, but not a lost tree.
    """
    if b"%PDF-" not in data[:1024] or _ENCRYPT.search(data):
        return None
    out = bytearray(b"%PDF-1.7\n")
    pages, highest = [], 0
    starts = list(_OBJECT.finditer(data))
    if not starts:
        return None
    for start, end in zip(
        starts, [start.start() for start in starts[1:]] + [len(data)], strict=True
    ):
        body = data[start.start() : data.rfind(b"endobj", start.start(), end) + len(b"endobj")]
        if not body.endswith(b"endobj"):
            continue
        out += body + b"\n"
        highest = max(highest, int(start[1]))
        if _PAGE.search(body.partition(b"stream")[0]):
            pages.append(b"%d 0 R" % int(start[1]))
    if not pages:
        return None
    catalog, tree = highest + 1, highest + 2
    out += b"%d 0 obj<</Type/Catalog/Pages %d 0 R>>endobj\n" % (catalog, tree)
    out += b"%d 0 obj<</Type/Pages/Count %d/Kids[%s]>>endobj\n" % (
        tree,
        len(pages),
        b" ".join(pages),
    )
    out += b"trailer<</Root %d 0 R/Size %d>>\nstartxref\n0\n%%%%EOF\n" % (catalog, tree + 1)
    return bytes(out)
