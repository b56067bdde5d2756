"""Makes hostile pictures, mails, old Office files, OpenDocument, RTF and data: bombs, circles, lies
about sizes and numbers, nesting without end, addresses of what is outside. Always the same ones.
"""

import base64
import json
import random
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from tests.processing import files, scans
from tests.processing import old_office as old

File = tuple[str, bytes]
MIB = 1024**2


def documents(canary: str) -> list[File]:
    """All of them: (file name, content); `canary` is a URL that nobody may ask."""
    makers = (_pictures(), _mails(canary), _containers(), _open_documents(canary), _texts(canary))
    made = [file for maker in makers for file in maker]
    return [(f"{n:03} {name}", content) for n, (name, content) in enumerate(made)]


def _pictures() -> Iterator[File]:
    for width, height, depth, colour in (
        (60_000, 60_000, 1, 0),
        (8_900, 8_900, 8, 6),
        (8_900, 8_900, 16, 6),
        (2**31 - 1, 2**31 - 1, 8, 2),
        (0, 0, 8, 2),
        (80_000_000, 1, 1, 0),
    ):
        yield f"{width} by {height} of {depth}.png", _png(width, height, depth, colour)
    text = zlib.compress(bytes(50 * MIB))
    yield "text bomb.png", _png(20, 20, 8, 0, [(b"zTXt", b"a\0\0" + text)] * 3)
    yield "many chunks.png", _png(20, 20, 8, 0, [(b"tEXt", b"a\0b")] * 100_000)
    yield "profile bomb.png", _png(20, 20, 8, 0, [(b"iCCP", b"a\0\0" + text)])
    page = scans.encoded(scans.page("Word", dpi=60))
    yield "bytes behind.png", page + bytes(10 * MIB)
    yield "turned.png", _png(20, 20, 8, 0, [(b"eXIf", b"II*\0\x08\0\0\0\xff\xff")])
    yield "ten thousand pages.tiff", _tiff(10_000)
    yield "in a circle.tiff", _tiff(3, circle=True)
    for tag, value in ((256, 2**31), (257, 2**31), (258, 65_535), (259, 32_773), (278, 2**31)):
        yield f"tag {tag}.tiff", _tiff(1, {tag: value})
    yield "far away.tiff", b"II*\0" + struct.pack("<I", 2**31)
    yield "many tags.tiff", b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + bytes(12 * 60_000)
    gif = b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0) + bytes(6)
    yield "wide.gif", gif + b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\2\2\4\1\0;"
    frames = [Image.new("L", (50, 50), n % 256) for n in range(500)]
    yield "film.gif", scans.encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield "lie.webp", b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(100)
    yield (
        "wide.bmp",
        b"BM" + struct.pack("<IIIIiiHHI", 0, 0, 54, 40, 30_000, 30_000, 1, 8, 1) + bytes(99),
    )
    yield "deep.bmp", b"BM" + struct.pack("<IIIIiiHH", 0, 0, 54, 40, -5, -5, 1, 65_535) + bytes(99)
    for name in ("PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP"):
        data = scans.encoded(scans.page("Word", dpi=40), name)
        choice = random.Random(1)
        for number in range(7):
            damaged = bytearray(data)
            for _ in range(5 + 20 * number):
                damaged[choice.randrange(10, len(data))] = choice.randrange(256)
            yield f"damaged {number}.{name.lower()}", bytes(damaged)
    big = scans.encoded(Image.new("L", (9_000, 9_000), 255), "JPEG", quality=10)
    yield "pages of large images.pdf", scans.pdf([Image.new("L", (9_000, 9_000))] * 3, 20)
    yield "large.jpeg", big
    yield "noise.png", scans.encoded(Image.effect_noise((2_000, 2_000), 200))


def _png(
    width: int, height: int, depth: int, colour: int, more: list[tuple[bytes, bytes]] | None = None
) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(bytes(min(max(width * height, 1), 20 * MIB)))
    out = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in ((b"IHDR", head), *(more or []), (b"IDAT", data), (b"IEND", b"")):
        check = struct.pack(">I", zlib.crc32(kind + content))
        out += [struct.pack(">I", len(content)), kind, content, check]
    return b"".join(out)


def _tiff(pages: int, wrong: dict[int, int] | None = None, circle: bool = False) -> bytes:
    out = b"II*\0" + struct.pack("<I", 8)
    tags = {256: 20, 257: 20, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 20, 279: 400}
    tags |= wrong or {}
    size = 2 + 12 * len(tags) + 4
    for number in range(pages):
        out += struct.pack("<H", len(tags))
        out += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
        is_last = number == pages - 1
        out += struct.pack("<I", (8 if circle else 0) if is_last else 8 + (number + 1) * size)
    return out + bytes(400)


def _mails(canary: str) -> Iterator[File]:
    head = "From: a@example.org\nSubject: Word\n"
    plain = f"{head}\nText\n"
    for depth in (50, 2_000):
        parts = "".join(
            f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(depth)
        )
        yield f"parts {depth} deep.eml", f"{head}{parts}\nText".encode()
        inner = "".join(f"Subject: {n}\nContent-Type: message/rfc822\n\n" for n in range(depth))
        yield f"messages {depth} deep.eml", f"{inner}{plain}".encode()
    many = "".join(f"--x\nContent-Type: text/plain; name={n}.txt\n\n{n}\n" for n in range(20_000))
    mixed = f"{head}Content-Type: multipart/mixed; boundary=x\n\n"
    yield "many attachments.eml", f"{mixed}{many}--x--\n".encode()
    data = files.zipped({"a.txt": "Text"})
    for _ in range(12):
        data = files.zipped({"in.zip": data})
    yield "archives in archives.eml", _with(data, "out.zip")
    bomb = files.zipped({"bomb.txt": bytes(200 * MIB)})
    yield "bomb.eml", _with(bomb, "bomb.zip")
    yield "bombs.eml", _with(files.zipped({f"{n}.zip": bomb for n in range(40)}), "bombs.zip")
    yield (
        "mail in archive in mail.eml",
        _with(files.zipped({"m.eml": _with(data, "z.zip")}), "a.zip"),
    )
    yield "many members.eml", _with(files.zipped({f"{n}.txt": "x" for n in range(9_000)}), "m.zip")
    for name in ("scan.png", "x.pdf", "x.docx", "x.msg", "x.doc", "x.xlsx", "winmail.dat"):
        yield f"wrong {name}.eml", _with(random.Random(2).randbytes(5_000), name)
    yield "long line.eml", f"{head}\n{'x' * 5 * MIB}".encode()
    yield "long header.eml", f"Subject: {'=?utf-8?q?=C3=BC?= ' * 200_000}\n\nText".encode()
    names = "".join(f" filename*{n}*=utf-8''x;\n" for n in range(5_000))
    yield "name in pieces.eml", f"{head}Content-Disposition: attachment;\n{names}\n\nx".encode()
    for charset in ("none", "utf-7", "rot13", "zip", "punycode", "idna", "unicode_escape", "\\"):
        yield (
            f"charset {charset[:4]!r}.eml",
            (f"{head}Content-Type: text/plain; charset={charset}\n\nText +AGE- \\x41\n".encode()),
        )
    for encoding in ("base64", "quoted-printable", "x-uuencode", "none"):
        body = f"Content-Transfer-Encoding: {encoding}\n\nbegin 666 a\n=====\n%%%\nend"
        yield f"encoding {encoding}.eml", f"{head}{body}".encode()
    html = f'<img src="{canary}"><link rel=stylesheet href="{canary}"><iframe src="{canary}">x'
    yield "outside.eml", f"{head}Content-Type: text/html\n\n{html}".encode()
    line = "From a@b Mon Nov  2 10:00:00 2026\n"
    yield "many messages.mbox", f"{line}{plain}\n".encode() * 55_000
    yield "only lines.mbox", line.encode() * 50_000
    yield "boundary.eml", f"{head}Content-Type: multipart/mixed; boundary=\n\n--\n--\nx".encode()
    yield "many boundaries.eml", f"{mixed}{'--x' * 500_000}\n".encode()


def _with(data: bytes, name: str) -> bytes:
    return (
        f"Subject: Word\nFrom: a@b\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nText\n--x\n"
        f"Content-Disposition: attachment; filename={name}\nContent-Transfer-Encoding: base64\n\n"
    ).encode() + base64.encodebytes(data)


def _containers() -> Iterator[File]:
    samples = files.samples()
    for kind in (files.DOC, files.PPT, files.XLS, files.MSG):
        name, data = samples[kind]
        suffix = name.rpartition(".")[2]
        for length in (8, 512, 600, 1_024, len(data) // 2, len(data) - 100):
            yield f"cut at {length}.{suffix}", data[:length]
        choice = random.Random(3)
        for number in range(8):
            damaged = bytearray(data)
            for _ in range(2 + 10 * number):
                damaged[choice.randrange(8, len(data))] = choice.randrange(256)
            yield f"damaged {number}.{suffix}", bytes(damaged)
        table = data.rindex(b"\xfd\xff\xff\xff")
        start = table // 512 * 512
        circle = b"".join(struct.pack("<I", n ^ 1) for n in range(128))
        yield f"circle.{suffix}", data[:start] + circle + data[start + 512 :]
        itself = b"".join(struct.pack("<I", n) for n in range(128))
        yield f"itself.{suffix}", data[:start] + itself + data[start + 512 :]
        root = data.index("Root Entry".encode("utf-16-le"))
        for at in (68, 72, 76, 128 + 68, 128 + 72, 116, 128 + 116, 120, 128 + 120):
            changed = bytearray(data)
            changed[root + at : root + at + 4] = struct.pack("<I", 1 if at < 100 else 2**31 - 1)
            yield f"directory {at}.{suffix}", bytes(changed)
    inner = old.message("Inner", "Text")
    for _ in range(30):
        inner = {
            **old.message("Around", "Text"),
            "__attach_version1.0_#00000000/__properties_version1.0": bytes(8),
            **{
                f"__attach_version1.0_#00000000/__substg1.0_3701000D/{k}": v
                for k, v in inner.items()
            },
        }
    yield "messages in messages.msg", old.container(inner)
    for size in (2**31, 10, 0):
        rtf = struct.pack("<III", 100, size, 0x75465A4C) + bytes(4) + bytes(range(256)) * 200
        streams = old.message("S") | {"__substg1.0_10090102": rtf}
        yield f"rtf of {size}.msg", old.container(streams)
    deep = old.record(0x0F9F, b"")
    for _ in range(5_000):
        deep = old.record(0x03EE, deep, holds=True)
    yield (
        "deep records.ppt",
        old.container({"PowerPoint Document": deep, "Current User": bytes(40)}),
    )
    user = struct.pack("<HHIIII", 0, 0x0FF6, 20, 20, 0xE391C05F, 0) + bytes(20)
    edits = old.record(0x0FF5, struct.pack("<IIIIII", 0, 0, 8, 8, 1, 0) + bytes(4))
    yield (
        "edits in a circle.ppt",
        old.container({"PowerPoint Document": bytes(8) + edits, "Current User": user}),
    )
    yield "wide.xls", old.xls({"A": [["x"] * 250] * 300})


def _open_documents(canary: str) -> Iterator[File]:
    cell = (
        '<table:table-cell table:number-columns-repeated="{}"><text:p>x</text:p></table:table-cell>'
    )
    row = '<table:table-row table:number-rows-repeated="{}">{}</table:table-row>'
    for columns, rows in ((10**9, 10**9), (16_384, 1_048_576), (1, 10**12), (10**12, 1)):
        body = f"<table:table>{row.format(rows, cell.format(columns) * 3)}</table:table>"
        yield f"{columns} by {rows}.ods", files.open_document("spreadsheet", body)
    covered = '<table:covered-table-cell table:number-columns-repeated="1000"/>' * 100_000
    body = f"<table:table>{row.format(1, cell.format(1) + covered)}</table:table>"
    yield "covered.ods", files.open_document("spreadsheet", body)
    for tag in (
        "text:section",
        "text:list><text:list-item",
        "table:table><table:table-row><table:table-cell",
    ):
        names = tag.split("><")
        opened, closed = f"<{tag}>", "".join(f"</{name}>" for name in reversed(names))
        for depth in (60, 50_000):
            body = opened * depth + "<text:p>Text</text:p>" + closed * depth
            yield f"{depth} {names[-1].partition(':')[2]}.odt", files.open_document("text", body)
    laughs = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    for name, doctype in (
        ("laughs", f'<!DOCTYPE x [<!ENTITY e0 "ha">{laughs}]>'),
        ("outside", f'<!DOCTYPE x [<!ENTITY e9 SYSTEM "{canary}">]>'),
        ("dtd", f'<!DOCTYPE x SYSTEM "{canary}">'),
    ):
        flat = files.open_document("text", "<text:p>Text &e9;</text:p>", flat=True)
        yield f"{name}.fodt", doctype.encode() + flat
        xml = f"{doctype}<a><b>Text</b><c>&e9;</c></a>"
        yield f"{name}.xml", xml.encode()
    linked = f'<draw:object xlink:href="{canary}"/><draw:image xlink:href="{canary}"/>'
    frame = f"<draw:frame>{linked}</draw:frame>"
    yield "linked.odt", files.open_document("text", f"<text:p>Text{frame}</text:p>" * 2_000)
    itself = '<draw:frame><draw:object xlink:href="./"/></draw:frame>'
    yield "in itself.odt", files.open_document("text", f"<text:p>Text{itself}</text:p>")
    spaces = '<text:p>Text<text:s text:c="999999999"/></text:p>' * 1_000
    yield "spaces.odt", files.open_document("text", spaces)


def _texts(canary: str) -> Iterator[File]:
    yield "deep.rtf", b"{\\rtf1 Text " + b"{" * 2 * MIB
    yield "bin.rtf", b"{\\rtf1 Text \\bin2147483647 x}"
    yield "backwards.rtf", b"{\\rtf1 Text \\bin-99 \\u-2147483648 \\uc-5 x}"
    yield "fonts.rtf", b"{\\rtf1{\\fonttbl" + b"{\\f1\\fcharset128 x;}" * 100_000 + b"}Text}"
    yield "words.rtf", b"{\\rtf1 Text " + b"\\b\\i" * 500_000 + b"}"
    yield "cells.rtf", b"{\\rtf1 Text \\trowd" + b"\\intbl x\\cell" * 300_000 + b"\\row}"
    yield (
        "linked.rtf",
        f'{{\\rtf1 Text {{\\field{{\\*\\fldinst INCLUDEPICTURE "{canary}"}}}}}}'.encode(),
    )
    yield "deep.json", b"[" * MIB
    yield "deep values.json", b'{"a":' * 900 + b'"Text"' + b"}" * 900
    yield "long number.json", b'{"a": "Text", "b": ' + b"9" * MIB + b"}"
    yield "many names.json", json.dumps([{str(n): n} for n in range(100_000)]).encode()
    yield "surrogates.json", b'{"a": "Text \\ud800 \\udc00\\ud83d"}'
    yield "anchors.yaml", b"a: &a Text\n" + b"".join(b"b%d: [*a, *a]\n" % n for n in range(50_000))
    yield "colons.yaml", b"a: Text\n" + b":" * MIB
    yield "wide.yaml", b" ".join([b"Text"] * MIB)
    yield "deep.xml", b"<a>" * 100_000 + b"Text"
    yield "attributes.xml", b"<a " + b"".join(b'a%d="x" ' % n for n in range(50_000)) + b">Text</a>"
    yield "elements.xml", b"<a>" + b"<b>Text</b><c/>" * 200_000 + b"</a>"
    yield (
        "names.xml",
        b"<a>" + b"".join(b"<b%d><c>x</c></b%d>" % (n, n) for n in range(70_000)) + b"</a>",
    )
    yield "dollars.tex", b"Text " + b"$" * 300_000
    yield "braces.tex", b"\\section{" * 50_000 + b"Text"
    yield "verbatim.tex", b"Text" + b"\\begin{verbatim}" * 5_000
    yield "tables.tex", b"Text" + b"\\begin{tabular}{" * 20_000
    yield "rules.rst", b"Text\n" + b"=\n" * 300_000 + b"=" * MIB
    yield "blocks.adoc", b"Text\n" + b"----\n" * 300_000
    yield "times.srt", b"1\n00:00:01,000 --> 00:00:02,000\nText\n\n" * 50_000
    yield "arrows.vtt", b"WEBVTT\n\n" + b"-->" * MIB + b"\nText"
    yield (
        "cells.ipynb",
        json.dumps({"cells": [{"cell_type": "code", "source": "Text"}] * 50_000}).encode(),
    )
    yield (
        "odd.ipynb",
        json.dumps({"cells": [{"source": {}, "outputs": [{"data": []}, 5, None]}, 1]}).encode(),
    )
    yield "self-closed.xhtml", b"<?xml version='1.0'?><html><body>" + b"<p/>" * 100_000 + b"Text"
    yield "tags.xhtml", b"<?xml version='1.0'?><html><body>Text" + b"<p " * 100_000
