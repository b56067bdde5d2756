"""The numbers that OpenDocument's lists and headings are shown with: they stand in no text, only in
the rules for them (OpenDocument 1.3 part 3, 16.30 to 16.35, 19.880.2).
"""

from dataclasses import dataclass, field
from typing import Any

from processing.parsing.drawing import local
from processing.parsing.word_numbers import BULLET, in_format

LEVELS = 10
MAX_AFFIX_CHARS = 50

_NS = "urn:oasis:names:tc:opendocument:xmlns:"
_TEXT, _STYLE = f"{{{_NS}text:1.0}}", f"{{{_NS}style:1.0}}"
_FORMATS = {"1": "decimal", "a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman"}
_FORMATS |= {"I": "upperRoman", "一, 二, 三, ...": "chineseCounting"}
_OUTLINE = ""  # the list of headings has no name


@dataclass(frozen=True, slots=True)
class _Rule:
    format: str = ""  # of ECMA-376; empty: no number
    is_bullet: bool = False
    prefix: str = ""
    suffix: str = ""
    shown_levels: int = 1
    start: int = 1


@dataclass(slots=True)
class Counters:
    """How far each level of a list is."""

    style: str
    numbers: dict[int, int] = field(default_factory=dict)


class ListNumbers:
    """Counts as the items pass, in their order."""

    def __init__(self) -> None:
        self._rules: dict[str, dict[int, _Rule]] = {}
        self._by_id: dict[str, Counters] = {}
        self._last: dict[str, Counters] = {}  # of each style
        self._headings = Counters(_OUTLINE)

    def learn(self, tree: Any) -> None:
        """The rules of a part of the document."""
        for style in tree.iter(f"{_TEXT}list-style", f"{_TEXT}outline-style"):
            name = _OUTLINE if local(style) == "outline-style" else style.get(f"{_STYLE}name", "")
            self._rules.setdefault(name, {}).update(_rule(level) for level in style)

    def list_of(self, element: Any, around: Counters | None) -> Counters:
        """The counters of a list: those of the one around it, or that it goes on with, or new."""
        style = element.get(f"{_TEXT}style-name") or ""
        if around is not None and (not style or style == around.style):
            return around
        before = self._by_id.get(element.get(f"{_TEXT}continue-list", ""))
        if before is None and element.get(f"{_TEXT}continue-numbering") == "true":
            before = self._last.get(style)
        counters = before or Counters(style)
        self._last[style] = counters
        id = element.get("{http://www.w3.org/XML/1998/namespace}id")
        if id:
            self._by_id[id] = counters
        return counters

    def item(self, counters: Counters, level: int, start: str | None) -> str:
        """What stands before the next item, with a space; "- " where there is no number."""
        rule = self._rules.get(counters.style, {}).get(level)
        if rule is None or rule.is_bullet:
            return f"{BULLET} "
        return self._count(counters, level, rule, start)

    def heading(self, level: int, start: str | None) -> str:
        """The same for a heading; "" for one without a number."""
        rule = self._rules.get(_OUTLINE, {}).get(level)
        return "" if rule is None else self._count(self._headings, level, rule, start)

    def _count(self, counters: Counters, level: int, rule: _Rule, start: str | None) -> str:
        numbers = counters.numbers
        if start and start.isdecimal():
            numbers[level] = int(start[:9])
        else:
            numbers[level] = numbers[level] + 1 if level in numbers else rule.start
        for below in [deeper for deeper in numbers if deeper > level]:
            del numbers[below]
        if not rule.format:
            return ""
        rules = self._rules.get(counters.style, {})
        parts = []
        for above in range(max(level - rule.shown_levels + 1, 1), level + 1):
            its = rules.get(above, rule)
            if its.format:
                parts.append(in_format(numbers.setdefault(above, its.start), its.format))
        return f"{rule.prefix}{'.'.join(parts)}{rule.suffix} "


def _rule(level: Any) -> tuple[int, _Rule]:
    def said(name: str, usual: str = "") -> str:
        return level.get(f"{_STYLE}{name}", usual)[:MAX_AFFIX_CHARS]

    def number(name: str) -> int:
        text = level.get(f"{_TEXT}{name}", "1")
        return int(text[:9]) if text.isdecimal() else 1

    format = said("num-format")
    return (
        number("level"),
        _Rule(
            format=_FORMATS.get(format, "decimal") if format else "",
            is_bullet=local(level) in ("list-level-style-bullet", "list-level-style-image"),
            prefix=said("num-prefix"),
            suffix=said("num-suffix"),
            shown_levels=min(number("display-levels"), LEVELS),
            start=number("start-value"),
        ),
    )
