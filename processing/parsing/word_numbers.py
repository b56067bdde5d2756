"""The numbers that Word draws before paragraphs: they stand in no text, only in the rules for them
(ECMA-376 Part 1, 17.9).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from processing.parsing.word_styles import W, is_on, number, value

LEVELS = 9
MAX_PATTERN_CHARS = 255
BULLET = "-"  # whatever the sign, and most are of fonts that only Word has

_PLACE = re.compile(r"%([1-9])")
_ROMAN = {
    1000: "m", 900: "cm", 500: "d", 400: "cd", 100: "c", 90: "xc", 50: "l", 40: "xl", 10: "x",
    9: "ix", 5: "v", 4: "iv", 1: "i",
}  # fmt: skip
_LATIN = "abcdefghijklmnopqrstuvwxyz"
_RUSSIAN = "абвгдежзиклмнопрстуфхцчшщыэюя"
_CHINESE = "〇一二三四五六七八九"
_CHINESE_FORMATS = {"chineseCounting", "chineseCountingThousand", "ideographTraditional"}
_CHINESE_FORMATS |= {"japaneseCounting", "taiwaneseCounting", "taiwaneseCountingThousand"}
_CHINESE_FORMATS |= {"ideographDigital", "japaneseDigitalTenThousand", "koreanCounting"}


@dataclass(slots=True)
class Level:
    """How the paragraphs of a level are numbered: "%1.%2" in the `pattern` are its places, `format`
    is one of ECMA-376's names.
    """

    start: int = 1
    format: str = "decimal"
    pattern: str = ""
    suffix: str = "tab"
    in_decimals: bool = False  # w:isLgl
    restart: int | None = None  # after a paragraph of this level or a higher one; 0: never


@dataclass(slots=True)
class Numbering:
    """One w:num: its levels, and the counters that it shares with others of its kind."""

    levels: dict[int, Level]
    counters: dict[int, int]
    starts_anew: dict[int, int] = field(default_factory=dict)


class Numbers:
    """Counts as the paragraphs pass, in their order."""

    def __init__(self, root: Any = None) -> None:
        self._lists: dict[str, Numbering] = {}
        self._by_style: dict[str, tuple[str, int]] = {}
        if root is not None:
            self._read(root)

    def add(self, name: str, numbering: Numbering) -> None:
        """A list that is found by this name."""
        self._lists[name] = numbering

    def of(self, list: str | None, level: int | None, style: str | None = None) -> str:
        """What stands before the next paragraph of this list, with the space after it; "" for none.

        `style` finds the level where a list belongs to styles and the paragraph names none.
        """
        numbering = self._lists.get(list or "")
        if numbering is None:
            return ""
        if level is None:
            level = self._by_style.get(style or "", ("", 0))[1]
        rule = numbering.levels.get(level)
        if rule is None:
            return ""
        self._count(numbering, level, rule)
        if rule.format == "none" and not rule.pattern:
            return ""
        text = BULLET if rule.format == "bullet" else self._drawn(numbering, rule)
        # Drawn without a gap, "1.1" would be one word with the next.
        is_close = rule.suffix == "nothing" and not (text.isascii() and text[-1:].isalnum())
        return text if is_close or not text else f"{text} "

    def _count(self, numbering: Numbering, level: int, rule: Level) -> None:
        counters = numbering.counters
        if level in numbering.starts_anew:
            counters[level] = numbering.starts_anew.pop(level)
        else:
            counters[level] = counters[level] + 1 if level in counters else rule.start
        for above in range(level):  # a list may begin with its second level
            counters.setdefault(above, numbering.levels.get(above, Level()).start)
        for below in [deeper for deeper in counters if deeper > level]:
            restart = numbering.levels.get(below, Level()).restart
            if restart is None or (restart and level < restart):
                del counters[below]

    def _drawn(self, numbering: Numbering, rule: Level) -> str:
        def place(match: "re.Match[str]") -> str:
            level = int(match[1]) - 1
            its = numbering.levels.get(level, Level())
            format = "decimal" if rule.in_decimals else its.format
            return in_format(numbering.counters.get(level, its.start), format)

        return _PLACE.sub(place, rule.pattern)

    def _read(self, root: Any) -> None:
        abstract = {e.get(f"{W}abstractNumId"): e for e in root.iterfind(f"{W}abstractNum")}
        linked = {value(e, "styleLink"): e for e in abstract.values() if value(e, "styleLink")}
        counters: dict[int, dict[int, int]] = {}
        for element in root.iterfind(f"{W}num"):
            kind = abstract.get(value(element, "abstractNumId"))
            if kind is None:
                continue
            kind = linked.get(value(kind, "numStyleLink"), kind)
            levels = dict(_levels(kind))
            numbering = Numbering(levels, counters.setdefault(id(kind), {}))
            for override in element.iterfind(f"{W}lvlOverride"):
                level = number(override.get(f"{W}ilvl")) or 0
                levels.update(_levels(override))
                if (start := number(value(override, "startOverride"))) is not None:
                    numbering.starts_anew[level] = start
            name = element.get(f"{W}numId")
            self._lists[name] = numbering
            for level_element in kind.iterfind(f"{W}lvl"):
                if style := value(level_element, "pStyle"):
                    level = number(level_element.get(f"{W}ilvl")) or 0
                    self._by_style.setdefault(style, (name, level))


def _levels(parent: Any) -> Iterator[tuple[int, Level]]:
    for element in parent.iterfind(f"{W}lvl"):
        level = number(element.get(f"{W}ilvl")) or 0
        if not 0 <= level < LEVELS:
            continue
        format = next((e for e in element.iter(f"{W}numFmt")), None)
        said = "decimal" if format is None else format.get(f"{W}val", "decimal")
        if format is not None and said == "custom":
            said = format.get(f"{W}format", "decimal")
        yield (
            level,
            Level(
                start=number(value(element, "start")) or 0,
                format=said,
                pattern=(value(element, "lvlText") or "")[:MAX_PATTERN_CHARS],
                suffix=value(element, "suff") or "tab",
                in_decimals=bool(is_on(element, "isLgl")),
                restart=number(value(element, "lvlRestart")),
            ),
        )


def in_format(count: int, format: str) -> str:
    """A number as Word writes it in one of its formats; those that we do not know are decimal."""
    lower = format[:1].lower() + format[1:]
    if lower.endswith("Letter"):
        return _cased(_letters(count, _LATIN), format)
    if lower.endswith("Roman"):
        return _cased(_roman(count), format)
    if format in ("russianLower", "russianUpper"):
        return _cased(_letters(count, _RUSSIAN), format.removeprefix("russian"))
    if format in _CHINESE_FORMATS:
        return _chinese(count)
    if format == "decimalZero":
        return f"{count:02}"
    if "," in format:  # "001, 002, 003, ..."
        return str(count).rjust(len(format.split(",")[0].strip()), "0")
    if format == "ordinal":
        ending = (
            "th" if count // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
        )
        return f"{count}{ending}"
    if format == "decimalEnclosedCircle" and 1 <= count <= 20:
        return chr(0x2460 + count - 1)
    return "" if format == "none" else str(count)


def _cased(text: str, format: str) -> str:
    return text.upper() if format.lower().startswith("upper") else text


def _letters(count: int, alphabet: str) -> str:
    """a to z, then aa to zz: Word repeats the letter."""
    if not 1 <= count <= 50 * len(alphabet):
        return str(count)
    times, place = divmod(count - 1, len(alphabet))
    return alphabet[place] * (times + 1)


def _roman(count: int) -> str:
    if not 1 <= count < 4000:
        return str(count)
    text = ""
    for worth, sign in _ROMAN.items():
        text += sign * (count // worth)
        count %= worth
    return text


def _chinese(count: int) -> str:
    if not 1 <= count < 100:
        return "".join(_CHINESE[int(digit)] for digit in str(count))
    tens, ones = divmod(count, 10)
    text = ("" if tens < 2 else _CHINESE[tens]) + ("十" if tens else "")
    return text + (_CHINESE[ones] if ones else "")
