"""The pictures in files of the old Office programs, by [MS-ODRAW] 2.2.23: each is a record with one
or two checksums before its bytes.
"""

import itertools
import re
import struct
import zlib
from collections.abc import Iterable, Iterator

from processing.parsing.draft import Draft
from processing.parsing.picture import add_shown

MAX_PICTURES = 10_000  # places where one may begin
MAX_BYTES = 50 * 1024**2  # of a picture of lines, inflated
SMALL_BYTES = 1_000  # an icon has hardly more

_EMF, _WMF, _PICT, _JPEG, _PNG, _DIB, _TIFF, _CMYK = *range(0xF01A, 0xF020), 0xF029, 0xF02A
_KINDS = {_EMF, _WMF, _PICT, _JPEG, _PNG, _DIB, _TIFF, _CMYK}
# Instances of records that have two checksums.
_TWICE = {0x3D5, 0x217, 0x543, 0x46B, 0x6E3, 0x6E1, 0x7A9, 0x6E5}
_LINES = {_EMF, _WMF, _PICT}
_MARK = re.compile(rb"[\x1a-\x1f\x29\x2a]\xf0")  # a kind, behind the record's first two bytes
_BITMAP = struct.Struct("<IiiHHIIiiII")


def show_pictures(found: Iterable[bytes], draft: Draft, heading: str = "") -> None:
    """Search each of them for text; those that could not be searched are in the report."""
    met: set[bytes] = set()
    for data in found:
        if len(data) < SMALL_BYTES or data in met:
            continue
        met.add(data)
        if add_shown(data, draft, heading=heading) == "unread":
            draft.unread("picture")


def pictures(data: bytes) -> Iterator[bytes]:
    """Each picture in a stream, in its order, as the file of a picture."""
    end = 0
    for found in itertools.islice(_MARK.finditer(data), MAX_PICTURES):
        start = found.start() - 2
        if start >= end and (record := picture_at(data, start)):
            end = start + record[0]
            yield record[1]


def picture_at(data: bytes, start: int) -> tuple[int, bytes] | None:
    """(size of the record at this place, the file of its picture), if there is one."""
    if not 0 <= start <= len(data) - 8:
        return None
    head, kind, size = struct.unpack_from("<HHI", data, start)
    skip = (32 if head >> 4 in _TWICE else 16) + (34 if kind in _LINES else 1)
    if kind not in _KINDS or head & 0xF or not skip < size <= len(data) - start - 8:
        return None
    return 8 + size, _file(kind, data[start + 8 : start + 8 + size], skip)


def _file(kind: int, record: bytes, skip: int) -> bytes:
    content = record[skip:]
    if kind in _LINES and record[skip - 2] == 0:  # deflated
        try:
            return zlib.decompressobj().decompress(content, MAX_BYTES)
        except zlib.error:
            return content
    return _bitmap(content) if kind == _DIB else content


def _bitmap(content: bytes) -> bytes:
    """A bitmap has no head of its own in there."""
    if len(content) < _BITMAP.size:
        return content
    size, _, _, _, depth, packing, _, _, _, used, _ = _BITMAP.unpack_from(content)
    colours = (used or 1 << depth if depth <= 8 else used) * 4 + (12 if packing == 3 else 0)
    start = 14 + min(size, len(content)) + min(colours, len(content))
    return b"BM" + struct.pack("<IHHI", 14 + len(content), 0, 0, start) + content
