"""What Outlook sends as `winmail.dat` ([MS-OXTNEF]): the files that are attached to the message,
and its text where that is plain.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from processing.parsing.decoding import decode

_MARK = struct.pack("<I", 0x223E9F78)
_BODY, _FILE, _NAME, _DATA, _PROPERTIES = 0x0002800C, 0x00069002, 0x00018010, 0x0006800F, 0x00069005
_CUT_OFF = -1  # no attribute: the next one is not all there
_LONG_NAMES = (b"\x1f\x00\x07\x37", b"\x1e\x00\x07\x37")  # in UTF-16, in one byte a character
MAX_FILES = 1_000


@dataclass(slots=True)
class Sent:
    text: str = ""
    files: list[tuple[str, bytes]] = field(default_factory=list)  # (name, content)
    is_whole: bool = True


def unpacked(data: bytes) -> Sent:
    """Of a damaged one what stands before the damage, of a very large one MAX_FILES; then it is not
    whole. Raises as `decode`.
    """
    sent = Sent()
    for name, content in _attributes(data):
        if name == _BODY:
            sent.text = decode(content.rstrip(b"\0")) if content.strip(b"\0") else ""
        elif name == _CUT_OFF:
            sent.is_whole = False
        elif name == _FILE:
            if len(sent.files) == MAX_FILES:
                sent.is_whole = False
                break
            sent.files.append(("", b""))
        elif sent.files:
            title, file = sent.files[-1]
            if name == _NAME:
                title = title or decode(content.rstrip(b"\0"))
            elif name == _DATA:
                file = content
            elif name == _PROPERTIES:
                title = _long_name(content) or title
            sent.files[-1] = (title, file)
    return sent


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 6 if data.startswith(_MARK) else len(data)
    while at < len(data):
        name, size = struct.unpack_from("<II", data, at + 1) if at + 9 <= len(data) else (0, 0)
        if at + 9 + size > len(data):
            yield _CUT_OFF, b""
            return
        yield name, data[at + 9 : at + 9 + size]
        at += 11 + size  # and a sum


def _long_name(properties: bytes) -> str:
    for mark in _LONG_NAMES:
        at = properties.find(mark)
        if at < 0 or at + 12 > len(properties):
            continue
        size = struct.unpack_from("<I", properties, at + 8)[0]
        name = properties[at + 12 : at + 12 + min(size, 1_000)]
        said = name.decode("utf-16-le", "replace") if mark[0] == 0x1F else decode(name)
        return said.rstrip("\0")
    return ""
