"""The lists and styles of a DOC, [MS-DOC] 2.9.131, 2.9.150 and 2.9.272: what numbers Word draws
before its paragraphs, and what a style says of those that have it.
"""

import contextlib
import struct

from processing.parsing.word_numbers import LEVELS, Level, Numbering, Numbers

MAX_LISTS = 5_000
MAX_STYLES = 4_096  # more cannot be named
MAX_BASES = 20

FORMATS = {
    0: "decimal", 1: "upperRoman", 2: "lowerRoman", 3: "upperLetter", 4: "lowerLetter",
    5: "ordinal", 10: "ideographDigital", 11: "japaneseCounting", 18: "decimalEnclosedCircle",
    22: "decimalZero", 23: "bullet", 30: "ideographTraditional", 33: "taiwaneseCounting",
    35: "taiwaneseCountingThousand", 37: "chineseCounting", 39: "chineseCountingThousand",
    42: "koreanCounting", 58: "russianLower", 59: "russianUpper", 255: "none",
}  # fmt: skip
_SUFFIXES = {0: "tab", 1: "space", 2: "nothing"}


def numbers_of(lists: bytes, overrides: bytes) -> Numbers:
    """Their rules, by the number by which a paragraph calls its list. `lists` and `overrides` begin
    with the two tables, and go on with what belongs to them. What is damaged is left out.
    """
    numbers = Numbers()
    kinds: dict[int, dict[int, Level]] = {}
    with contextlib.suppress(struct.error, IndexError):
        _read_kinds(lists, kinds)
    with contextlib.suppress(struct.error, IndexError):
        _read_lists(overrides, kinds, numbers)
    return numbers


def styles_of(sheet: bytes) -> list[bytes]:
    """The formatting of paragraphs of each style, that of the styles below it first."""
    own: list[tuple[int, bytes]] = []
    try:
        at = 2 + struct.unpack_from("<H", sheet)[0]
        count, base_size = struct.unpack_from("<HH", sheet, 2)
        for _ in range(min(count, MAX_STYLES)):
            size = struct.unpack_from("<H", sheet, at)[0]
            own.append(_style(sheet[at + 2 : at + 2 + size], base_size))
            at += 2 + size
    except (struct.error, IndexError):
        pass
    return [_with_bases(number, own) for number in range(len(own))]


def _style(style: bytes, base_size: int) -> tuple[int, bytes]:
    """(the style that it is based on, the formatting that it adds)."""
    if len(style) < base_size + 2:
        return 0xFFF, b""
    kind_and_base = struct.unpack_from("<H", style, 2)[0]
    base = kind_and_base >> 4
    if kind_and_base & 0xF != 1:  # not of paragraphs
        return 0xFFF, b""
    at = base_size + 2 + 2 * struct.unpack_from("<H", style, base_size)[0] + 2
    if at + 2 > len(style):
        return base, b""
    size = struct.unpack_from("<H", style, at)[0]
    return base, style[at + 4 : at + 2 + size]


def _with_bases(number: int, own: list[tuple[int, bytes]]) -> bytes:
    codes = b""
    for _ in range(MAX_BASES):
        if number >= len(own):
            break
        number, added = own[number]
        codes = added + codes
    return codes


def _read_kinds(data: bytes, kinds: dict[int, dict[int, Level]]) -> None:
    count = min(struct.unpack_from("<H", data)[0], MAX_LISTS)
    heads = [struct.unpack_from("<I22xB", data, 2 + 28 * number) for number in range(count)]
    at = 2 + 28 * count
    for id, flags in heads:
        levels = kinds[id] = {}
        for level in range(1 if flags & 1 else LEVELS):
            levels[level], at = _level(data, at)


def _level(data: bytes, at: int) -> tuple[Level, int]:
    """(a level, where the next one begins)."""
    start, format, flags = struct.unpack_from("<IBB", data, at)
    follows = data[at + 15]
    sizes = data[at + 24] + data[at + 25]
    limit = data[at + 26]
    at += 28 + sizes
    length = struct.unpack_from("<H", data, at)[0]
    pattern = data[at + 2 : at + 2 + 2 * length].decode("utf-16-le", "replace")
    pattern = "".join(f"%{ord(sign) + 1}" if ord(sign) < LEVELS else sign for sign in pattern)
    level = Level(
        start=min(start, 0x7FFF),
        format=FORMATS.get(format, "decimal"),
        pattern=pattern[:255],
        suffix=_SUFFIXES.get(follows, "tab"),
        in_decimals=bool(flags & 4),
        restart=limit if flags & 8 else None,
    )
    return level, at + 2 + 2 * length


def _read_lists(data: bytes, kinds: dict[int, dict[int, Level]], numbers: Numbers) -> None:
    count = min(struct.unpack_from("<I", data)[0], MAX_LISTS)
    heads = [struct.unpack_from("<I8xB", data, 4 + 16 * number) for number in range(count)]
    counters: dict[int, dict[int, int]] = {}
    found = []
    for name, (id, _) in enumerate(heads, 1):
        numbering = Numbering(dict(kinds.get(id, {})), counters.setdefault(id, {}))
        numbers.add(str(name), numbering)
        found.append(numbering)
    at = 4 + 16 * count
    for numbering, (_, changes) in zip(found, heads, strict=True):
        at += 4
        for _ in range(min(changes, LEVELS)):
            start, flags = struct.unpack_from("<II", data, at)
            at += 8
            level = flags & 0xF
            if flags & 0x20:
                numbering.levels[level], at = _level(data, at)
                start = numbering.levels[level].start
            if flags & 0x10:
                numbering.starts_anew[level] = min(start, 0x7FFF)
