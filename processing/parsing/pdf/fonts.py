"""A font for the fonts that a PDF names and does not hold.

PDFium needs some font to lay text out, and drops vertical Chinese, Japanese and Korean text, and
the height of all of it, when it finds none. It looks on the disk, which a parser cannot, and what
it finds would depend on the machine. What we read is letters and places, which do not ask for true
shapes: so it gets a font of 424 bytes in which every character is the same box.
"""

import ctypes
import struct
from typing import Any

import pypdfium2.raw as raw

_EM = 1000
_BOX = (100, -100, 900, 800)
# The charsets of Windows, as PDFium names them: Shift_JIS, Hangul, Johab, GB 2312, Big5.
_CJK_CHARSETS = {128, 129, 130, 134, 136}
_HANDLE = 1


def install() -> None:
    """From now on PDFium asks only us for fonts, and opens no file."""
    raw.FPDF_SetSystemFontInfo(ctypes.byref(_info))


def _map_font(
    this: Any, weight: int, italic: int, charset: int, pitch: int, face: Any, exact: Any
) -> int | None:
    """The box for what PDFium has nothing for; it brings shapes of its own for Western fonts."""
    return _HANDLE if charset in _CJK_CHARSETS else None


def _font_data(this: Any, font: Any, tag: int, buffer: Any, size: int) -> int:
    """The whole font for tag 0, else one of its tables."""
    data = _FONT if tag == 0 else _TABLES.get(tag.to_bytes(4, "big"), b"")
    if buffer and size >= len(data):
        ctypes.memmove(buffer, data, len(data))
    return len(data)


def _tables() -> dict[bytes, bytes]:
    """Of a TrueType font with two glyphs, both the box; see the OpenType specification, 1.9."""
    left, bottom, right, top = _BOX
    width, height = right - left, top - bottom
    glyph = struct.pack(">5h", 1, *_BOX) + struct.pack(">HH", 3, 0) + bytes([1] * 4)
    glyph += struct.pack(">8h", left, 0, width, 0, bottom, height, 0, -height)
    # One mapping from all of Unicode to glyph 1 (cmap format 13, made for fonts of last resort).
    mapping = struct.pack(">HHIII", 13, 0, 28, 0, 1) + struct.pack(">III", 0x20, 0x10FFFF, 1)
    return {
        b"cmap": struct.pack(">HHHHI", 0, 1, 3, 10, 12) + mapping,
        b"glyf": glyph + glyph,
        b"head": struct.pack(">IIIIHHQQ", 0x10000, 0x10000, 0, 0x5F0F3CF5, 3, _EM, 0, 0)
        + struct.pack(">4hHHhhh", *_BOX, 0, 8, 2, 1, 0),
        b"hhea": struct.pack(">I3hH11hH", 0x10000, top, bottom, 0, _EM, *[0] * 11, 2),
        b"hmtx": struct.pack(">HhHh", _EM, left, _EM, left),
        b"loca": struct.pack(">3I", 0, len(glyph), 2 * len(glyph)),
        b"maxp": struct.pack(">I14H", 0x10000, 2, 4, 1, 0, 0, 2, *[0] * 8),
        b"post": struct.pack(">II2h5I", 0x30000, *[0] * 8),
    }


def _font(tables: dict[bytes, bytes]) -> bytes:
    count = len(tables)
    directory = struct.pack(">IHHHH", 0x10000, count, 128, 3, count * 16 - 128)
    start, body = len(directory) + 16 * count, b""
    for tag, table in sorted(tables.items()):
        directory += struct.pack(">4sIII", tag, 0, start + len(body), len(table))
        body += table + b"\0" * (-len(table) % 4)
    return directory + body


_TABLES = _tables()
_FONT = _font(_TABLES)
_TYPES = dict(raw.FPDF_SYSFONTINFO._fields_)
# PDFium keeps a pointer to it as long as the process lives.
_info = raw.FPDF_SYSFONTINFO(
    version=1,
    Release=_TYPES["Release"](lambda this: None),
    EnumFonts=_TYPES["EnumFonts"](lambda this, mapper: None),
    MapFont=_TYPES["MapFont"](_map_font),
    GetFont=_TYPES["GetFont"](lambda this, face: None),
    GetFontData=_TYPES["GetFontData"](_font_data),
    GetFaceName=_TYPES["GetFaceName"](lambda this, font, buffer, size: 0),
    GetFontCharset=_TYPES["GetFontCharset"](lambda this, font: 1),
    DeleteFont=_TYPES["DeleteFont"](lambda this, font: None),
)
