"""Makes files of the old Office programs and of Outlook, as small as they can be: their container,
and what the readers look for in it.
"""

import struct
from collections.abc import Mapping, Sequence

FREE, END, FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
SECTOR, MINI, CUTOFF = 512, 64, 4096


def container(streams: Mapping[str, bytes]) -> bytes:
    """A compound file, [MS-CFB], of these streams; their names are paths."""
    entries = [_Entry("Root Entry", 5)]
    at: dict[str, int] = {"": 0}
    for path, content in streams.items():
        *folders, name = path.split("/")
        parent = ""
        for folder in folders:
            inner = f"{parent}{folder}/"
            if inner not in at:
                at[inner] = len(entries)
                entries[at[parent]].children.append(len(entries))
                entries.append(_Entry(folder, 1))
            parent = inner
        entries[at[parent]].children.append(len(entries))
        entries.append(_Entry(name, 2, content))
    return _written(entries)


class _Entry:
    def __init__(self, name: str, kind: int, content: bytes = b"") -> None:
        self.name, self.kind, self.content = name, kind, content
        self.children: list[int] = []
        self.start, self.right = END, FREE

    def packed(self) -> bytes:
        name = (self.name + "\0").encode("utf-16-le")
        child = self.children[0] if self.children else FREE
        head = name.ljust(64, b"\0") + struct.pack("<HBB", len(name), self.kind, 1)
        links = struct.pack("<III", FREE, self.right, child)
        return head + links + bytes(36) + struct.pack("<IQ", self.start, len(self.content))


def _written(entries: list[_Entry]) -> bytes:
    small, small_chain = bytearray(), []
    sectors: list[bytes] = []
    chain: list[int] = []

    def put(content: bytes) -> int:
        parts = [
            content[n : n + SECTOR].ljust(SECTOR, b"\0") for n in range(0, len(content), SECTOR)
        ]
        first = len(sectors)
        sectors.extend(parts)
        chain.extend([*range(first + 1, first + len(parts)), END])
        return first

    for entry in entries:
        for left, right in zip(entry.children, entry.children[1:], strict=False):
            entries[left].right = right
        if entry.kind == 2 and 0 < len(entry.content) < CUTOFF:
            count = -(-len(entry.content) // MINI)
            entry.start = len(small_chain)
            small_chain += [*range(entry.start + 1, entry.start + count), END]
            small += entry.content.ljust(count * MINI, b"\0")
        elif entry.kind == 2 and entry.content:
            entry.start = put(entry.content)
    mini_fat = END
    if small:
        entries[0].start, entries[0].content = put(bytes(small)), bytes(small)
        mini_fat = put(struct.pack(f"<{len(small_chain)}I", *small_chain))
    directory = put(b"".join(entry.packed() for entry in entries))
    count = 1
    while (len(chain) + count) * 4 > count * SECTOR:
        count += 1
    places = list(range(len(sectors), len(sectors) + count))
    chain += [FAT] * count
    table = struct.pack(f"<{len(chain)}I", *chain).ljust(count * SECTOR, b"\xff")
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack(
        "<IIIIIIII", 0, count, directory, 0, CUTOFF, mini_fat, 1 if small else 0, END
    )
    head += struct.pack("<I", 0) + struct.pack("<109I", *(places + [FREE] * (109 - count)))
    return head + b"".join(sectors) + table


# Word


def doc(
    paragraphs: Sequence[tuple[int, str] | tuple[int, str, bytes]],
    *,
    notes: str = "",
    encrypted: bool = False,
    lists: tuple[bytes, bytes, bytes] = (b"", b"", b""),
    pictures: bytes = b"",
    hidden: str = "",
) -> bytes:
    """[MS-DOC] of (style, text) or (style, text, formatting): style 1 to 9 is a heading, -1 a row
    of cells, between which "|" stands. `lists` are the table of lists, what follows it, and the
    table of their overrides; `hidden` is a part of the text that is.
    """
    text, styles = "", []
    for style, content, *formatting in paragraphs:
        parts = [f"{cell}\x07" for cell in content.split("|")] + ["\x07"]
        for part in parts if style < 0 else [content + "\r"]:
            codes = b"" if style >= 0 else struct.pack("<HB", 0x2416, 1)
            codes += b"".join(formatting)
            if part == "\x07":
                codes += struct.pack("<HB", 0x2417, 1)
            styles.append((len(text), len(text + part), struct.pack("<H", max(style, 0)) + codes))
            text += part
    body = len(text)
    text += notes
    start = 1024
    data = bytearray(start)
    struct.pack_into("<HHxxxxxxH", data, 0, 0xA5EC, 0xC1, 0x0200 | (0x0100 if encrypted else 0))
    struct.pack_into("<8i", data, 0x4C, body, len(notes), 0, 0, 0, 0, 0, 0)
    data += text.encode("utf-16-le")
    data += bytes(-len(data) % 512)
    page, places, at = bytearray(512), [], 510
    for number, (_, _, codes) in enumerate(styles):
        record = bytes([(len(codes) + 1) // 2 if len(codes) % 2 else 0]) + (
            b"" if len(codes) % 2 else bytes([len(codes) // 2])
        )
        record += codes
        at -= len(record) + len(record) % 2
        page[at : at + len(record)] = record
        places.append(at // 2)
        struct.pack_into("<I", page, 4 * number, start + 2 * styles[number][0])
    struct.pack_into("<I", page, 4 * len(styles), start + 2 * body)
    for number, place in enumerate(places):
        page[4 * (len(styles) + 1) + 13 * number] = place
    page[511] = len(styles)
    number_of_page = len(data) // 512
    data += page
    pieces = struct.pack("<II", 0, len(text)) + struct.pack("<HIH", 0, start, 0)
    table = b"\x02" + struct.pack("<I", len(pieces)) + pieces
    struct.pack_into("<II", data, 0x1A2, 0, len(table))
    struct.pack_into("<II", data, 0x102, len(table), 12)
    table += struct.pack("<III", start, start + 2 * body, number_of_page)
    if hidden:
        at = start + 2 * text.index(hidden)
        page = bytearray(512)
        struct.pack_into("<IIB", page, 0, at, at + 2 * len(hidden), 250)
        page[500:504] = struct.pack("<BHB", 3, 0x083C, 1)
        page[511] = 1
        struct.pack_into("<II", data, 0xFA, len(table), 12)
        table += struct.pack("<III", at, at + 2 * len(hidden), len(data) // 512)
        data += page
    for place, content, behind in ((0x2E2, *lists[:2]), (0x2EA, lists[2], b"")):
        struct.pack_into("<II", data, place, len(table), len(content))
        table += content + behind
    streams = {"WordDocument": bytes(data).ljust(4096, b"\0"), "1Table": table, "Data": pictures}
    return container({name: content for name, content in streams.items() if content})


def lists_of(*levels: tuple[int, str, int]) -> tuple[bytes, bytes, bytes]:
    """For `doc`: one list of these (format, pattern, start), in which "\\0" is the place of the
    first level, "\\1" that of the second; the second override begins its first level at 5.
    """
    made = b""
    for format, pattern, start in levels + ((0, "", 1),) * (9 - len(levels)):
        made += struct.pack("<IBB9xB12x", start, format, 0, 1)
        made += struct.pack("<H", len(pattern)) + pattern.encode("utf-16-le")
    heads = struct.pack("<HIi18xBB", 1, 77, 0, 0, 0)
    overrides = struct.pack("<I", 2) + b"".join(
        struct.pack("<I8xBBBB", 77, changes, 0, 0, 0) for changes in (0, 1)
    )
    overrides += bytes(4) + bytes(4) + struct.pack("<II", 5, 0x10)
    return heads, made, overrides


def in_list(number: int, level: int = 0) -> bytes:
    """The formatting of a paragraph of this list."""
    return struct.pack("<HBHH", 0x260A, level, 0x460B, number)


# PowerPoint


def record(kind: int, content: bytes = b"", *, instance: int = 0, holds: bool = False) -> bytes:
    head = instance << 4 | (0xF if holds else 0)
    return struct.pack("<HHI", head, kind, len(content)) + content


def ppt(
    slides: Sequence[tuple[str, str, str]],
    *,
    encrypted: bool = False,
    picture: bytes = b"",
    comment: tuple[str, str] | None = None,
) -> bytes:
    """[MS-PPT] of (title, text, notes). `picture` is on the last slide, and a `comment` (who, what)
    on each.
    """
    stream, places = b"", {}

    def put(number: int, content: bytes) -> None:
        nonlocal stream
        places[number] = len(stream)
        stream += content

    slide_list, notes_list = b"", b""
    for number, (title, text, notes) in enumerate(slides, 1):
        slide_list += record(0x03F3, struct.pack("<IIIII", 10 + number, 0, 0, 255 + number, 0))
        slide_list += _kind(0) + _said(title)
        shapes = _shape(record(0x0F9E, struct.pack("<I", 0))) + _shape(_kind(4) + _said(text))
        if picture and number == len(slides):
            frame = record(0xF00A, bytes(8), instance=75)
            frame += record(0xF00B, struct.pack("<HI", 0x4104, 1), instance=1)
            shapes += record(0xF004, frame, holds=True)
        shown = record(0x040C, shapes, holds=True)
        if comment:
            said = (text.encode("utf-16-le") for text in (*comment, "AL"))
            said = (record(0x0FBA, text, instance=n) for n, text in enumerate(said))
            remark = record(0x2EE0, b"".join(said), holds=True)
            tag = record(0x0FBA, "___PPT10".encode("utf-16-le")) + record(0x138B, remark)
            shown += record(0x1388, record(0x138A, tag, holds=True), holds=True)
        put(10 + number, record(0x03EE, shown, holds=True))
        if notes:
            notes_list += record(0x03F3, struct.pack("<IIIII", 100 + number, 0, 0, 0, 0))
            of = record(0x03F1, struct.pack("<II", 255 + number, 0))
            shapes = record(0x040C, _shape(_kind(2) + _said(notes)), holds=True)
            put(100 + number, record(0x03F0, of + shapes, holds=True))
    lists = record(0x0FF0, slide_list, holds=True) + record(
        0x0FF0, notes_list, instance=2, holds=True
    )
    if picture:
        stored = record(0xF007, bytes(36), instance=6)  # at the beginning of their stream
        lists += record(0x040B, record(0xF001, stored, holds=True), holds=True)
    put(1, record(0x03E8, lists, holds=True))
    directory = len(stream)
    entries = (struct.pack("<II", 1 << 20 | number, place) for number, place in places.items())
    stream += record(0x1772, b"".join(entries))
    edit = len(stream)
    stream += record(0x0FF5, struct.pack("<IIIIII", 0, 0, 0, directory, 1, 200) + bytes(4))
    token = 0xF3D1C4DF if encrypted else 0xE391C05F
    user = record(0x0FF6, struct.pack("<III", 20, token, edit) + bytes(12))
    streams = {"PowerPoint Document": stream, "Current User": user, "Pictures": picture}
    return container({name: content for name, content in streams.items() if content})


def _kind(number: int) -> bytes:
    return record(0x0F9F, struct.pack("<I", number))


def _said(text: str) -> bytes:
    return record(0x0FA0, text.replace("\n", "\r").encode("utf-16-le"))


def _shape(text: bytes) -> bytes:
    return record(0xF004, record(0xF00D, text), holds=True)


# Excel


def xls(
    sheets: Mapping[str, Sequence[Sequence[str | float]] | bytes],
    *,
    hidden: Sequence[str] = (),
    encrypted: bool = False,
    rows_hidden: Mapping[int, int] | None = None,
    columns_hidden: Mapping[int, int] | None = None,
    pictures: bytes = b"",
    drawn: bytes = b"",
) -> bytes:
    """BIFF 8; numbers are shown as percents; what is given as records is a chart, and what is
    `drawn` stands on all other sheets. Rows and columns (from 0) that are hidden: at which
    level they are folded up with others, 0 for none.
    """
    start = _biff(0x809, struct.pack("<HHHHII", 0x600, 5, 0, 0, 0, 0))
    if encrypted:
        start += _biff(0x2F, bytes(54))
    start += _biff(0x42, struct.pack("<H", 1200))
    start += _biff(0x31, struct.pack("<HHHHHBBBxBB", 200, 0, 0, 400, 0, 0, 0, 0, 1, 0) + b"A")
    style = struct.pack("<HHH", 0, 0, 0) + bytes(14)
    percent = struct.pack("<HHH", 0, 9, 0) + bytes(14)
    start += _biff(0xE0, style) + _biff(0xE0, percent)
    bodies = []
    for rows in sheets.values():
        if isinstance(rows, bytes):
            bodies.append(rows)
            continue
        body = _biff(0x809, struct.pack("<HHHHII", 0x600, 0x10, 0, 0, 0, 0))
        for column, level in (columns_hidden or {}).items():
            options = 1 | level << 8
            body += _biff(0x7D, struct.pack("<6H", column, column, 2048, 0, options, 0))
        for row, level in (rows_hidden or {}).items():
            body += _biff(0x208, struct.pack("<6HI", row, 0, 9, 255, 0, 0, 0x120 | level))
        for row, cells in enumerate(rows):
            for column, value in enumerate(cells):
                if isinstance(value, str):
                    text = struct.pack("<HB", len(value), 1) + value.encode("utf-16-le")
                    body += _biff(0x204, struct.pack("<HHH", row, column, 0) + text)
                else:
                    body += _biff(0x203, struct.pack("<HHHd", row, column, 1, value))
        bodies.append(body + drawn + _biff(0x0A, b""))
    for n in range(0, len(pictures), 8000):
        start += _biff(0x3C if n else 0xEB, pictures[n : n + 8000])
    names = [name.encode("utf-16-le") for name in sheets]
    at = len(start) + sum(12 + len(name) for name in names) + 4
    listed = b""
    for name, content, body in zip(sheets, names, bodies, strict=True):
        head = struct.pack(
            "<IBBBB", at, name in hidden, 2 * isinstance(sheets[name], bytes), len(name), 1
        )
        listed += _biff(0x85, head + content)
        at += len(body)
    stream = start + listed + _biff(0x0A, b"") + b"".join(bodies)
    return container({"Workbook": stream.ljust(CUTOFF, b"\0")})


def _biff(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def box(text: str, kind: int = 6) -> bytes:
    """A text box on a sheet, or a note (25), in two records."""
    half = len(text) // 2
    made = _biff(0x5D, struct.pack("<HHHH", 0x15, 0x12, kind, 1) + bytes(14))
    made += _biff(0x1B6, struct.pack("<HHHHHHH", 0, 0, 0, 0, 0, len(text), 16) + bytes(4))
    made += _biff(0x3C, b"\1" + text[:half].encode("utf-16-le"))
    return made + _biff(0x3C, b"\0" + text[half:].encode("latin-1")) + _biff(0x3C, bytes(16))


def chart(title: str, series: str, points: Mapping[str, float]) -> bytes:
    """As a sheet of its own, or on one."""

    def name(text: str) -> bytes:
        return _biff(0x100D, struct.pack("<HBB", 0, len(text), 0) + text.encode("latin-1"))

    made = _biff(0x809, struct.pack("<HHHHII", 0x600, 0x20, 0, 0, 0, 0)) + _biff(0x1033, b"")
    made += _biff(0x1003, bytes(12)) + _biff(0x1033, b"") + name(series) + _biff(0x1034, b"")
    made += _biff(0x1025, bytes(32)) + _biff(0x1033, b"") + name(title) + _biff(0x1034, b"")
    made += _biff(0x1034, b"") + _biff(0x1065, b"\1\0")
    for n, value in enumerate(points.values()):
        made += _biff(0x203, struct.pack("<HHHd", n, 0, 0, value))
    made += _biff(0x1065, b"\2\0")
    for n, text in enumerate(points):
        head = struct.pack("<HHHHB", n, 0, 0, len(text), 0)
        made += _biff(0x204, head + text.encode("latin-1"))
    return made + _biff(0x0A, b"")


# Outlook


def msg(
    subject: str,
    body: str = "",
    *,
    sender: str = "Ada",
    html: bytes = b"",
    attachments: Sequence[tuple[str, bytes]] = (),
    inner: Sequence[Mapping[str, bytes]] = (),
) -> bytes:
    """[MS-OXMSG]; `inner` are the streams of messages that are attached: see `message`."""
    streams = dict(message(subject, body, sender=sender, html=html))
    number = 0
    for name, content in attachments:
        folder = f"__attach_version1.0_#{number:08X}/"
        streams[f"{folder}__properties_version1.0"] = bytes(8)
        streams[f"{folder}__substg1.0_3707001F"] = name.encode("utf-16-le")
        streams[f"{folder}__substg1.0_37010102"] = content
        number += 1
    for each in inner:
        folder = f"__attach_version1.0_#{number:08X}/"
        streams[f"{folder}__properties_version1.0"] = bytes(8)
        for name, content in each.items():
            streams[f"{folder}__substg1.0_3701000D/{name}"] = content
        number += 1
    return container(streams)


def message(
    subject: str, body: str = "", *, sender: str = "Ada", html: bytes = b""
) -> dict[str, bytes]:
    """The streams of one message."""
    sent = struct.pack("<IIQ", 0x00390040, 6, 134_000_000_000_000_000)
    streams = {
        "__properties_version1.0": bytes(32) + sent,
        "__substg1.0_0037001F": subject.encode("utf-16-le"),
        "__substg1.0_0C1A001F": sender.encode("utf-16-le"),
        "__substg1.0_5D01001F": f"{sender.lower()}@example.org".encode("utf-16-le"),
        "__substg1.0_1000001F": body.encode("utf-16-le"),
        "__substg1.0_10130102": html,
    }
    return {name: content for name, content in streams.items() if content}


# Pictures in them


def blip(picture: bytes, kind: int = 0xF01E) -> bytes:
    """A picture, [MS-ODRAW] 2.2.23: a PNG, or of another kind."""
    content = bytes(16) + (bytes(34) if kind < 0xF01D else b"\xff") + picture
    return struct.pack("<HHI", 0x6E0 << 4, kind, len(content)) + content
