"""What a page's styles hide: `display: none` and `visibility: hidden`, by an element's own style or
by the page's rules for a tag, a class or an id; and which elements they set apart.

Rules with several elements in them ("nav .item") and those for some devices (@media) are left out:
what they hide is read. A library that matches them all takes a page's rules times its elements.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

MAX_RULES = 2_000
MAX_CHARS = 2_000_000

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_SHOWN = re.compile(
    r"(?:^|[;\s])(display|visibility)\s*:\s*([a-z-]+)\s*(!\s*important)?", re.IGNORECASE
)
_SELECTOR = re.compile(r"([a-zA-Z][\w-]*|\*)?((?:[.#][\w-]+)*)")
_PART = re.compile(r"[.#][\w-]+")
_HIDDEN = {"display": {"none"}, "visibility": {"hidden", "collapse"}}

Rank = tuple[bool, int, int]  # important, how special its selector is, its place


@dataclass(frozen=True, slots=True)
class _Rule:
    tag: str
    parts: frozenset[str]  # ".class", "#id"
    rank: Rank
    property: str
    value: str


class Styles:
    """The rules of a page that hide, show or set apart."""

    def __init__(self, sheets: Iterable[str]) -> None:
        self._rules: dict[str, list[_Rule]] = {}  # by one of its parts, or its tag
        for rule in itertools.islice(_rules(sheets), MAX_RULES):
            self._rules.setdefault(min(rule.parts, default=rule.tag), []).append(rule)

    def hides(self, tag: str, attributes: Mapping[str, str | None]) -> bool:
        """Whether an element of this tag with these attributes is not shown."""
        found = self._values(tag, attributes)
        return any(value in _HIDDEN[property] for property, value in found.items())

    def display(self, tag: str, attributes: Mapping[str, str | None]) -> str:
        """How such an element is laid out ("block", "flex"), "" where nothing is said."""
        return self._values(tag, attributes).get("display", "")

    @property
    def lay_out(self) -> bool:
        """Whether a rule says how anything is laid out that is shown."""
        rules = itertools.chain.from_iterable(self._rules.values())
        return any(rule.property == "display" and rule.value != "none" for rule in rules)

    def _values(self, tag: str, attributes: Mapping[str, str | None]) -> dict[str, str]:
        own = attributes.get("style")
        if not own and not self._rules:
            return {}
        found: dict[str, tuple[Rank, str]] = {}
        for rule in self._matching(tag, attributes) if self._rules else ():
            if rule.property not in found or found[rule.property][0] < rule.rank:
                found[rule.property] = (rule.rank, rule.value)
        for property, value, is_important in _declared(own or ""):
            rank = (is_important, 1_000_000, 0)
            if property not in found or found[property][0] <= rank:
                found[property] = (rank, value)
        return {property: value for property, (_, value) in found.items()}

    def _matching(self, tag: str, attributes: Mapping[str, str | None]) -> Iterator[_Rule]:
        parts = {f".{name}" for name in (attributes.get("class") or "").split()}
        if id := attributes.get("id"):
            parts.add(f"#{id}")
        for key in (*parts, tag, "*"):
            for rule in self._rules.get(key, ()):
                if rule.tag in ("*", tag) and rule.parts <= parts:
                    yield rule


def _rules(sheets: Iterable[str]) -> Iterator[_Rule]:
    place = 0
    for sheet in sheets:
        for selectors, body in _blocks(_COMMENT.sub(" ", sheet[:MAX_CHARS])):
            declared = list(_declared(body))
            for selector in selectors.split(",") if declared else ():
                match = _SELECTOR.fullmatch(selector.strip())
                if match is None or not match[0]:
                    continue
                parts = frozenset(_PART.findall(match[2]))
                tag = (match[1] or "*").lower()
                special = sum(100 if part[0] == "#" else 10 for part in parts) + (tag != "*")
                for property, value, is_important in declared:
                    place += 1
                    yield _Rule(tag, parts, (is_important, special, place), property, value)


def _blocks(sheet: str) -> Iterator[tuple[str, str]]:
    """(selectors, declarations) of each rule that holds always."""
    at = 0
    while (opened := sheet.find("{", at)) >= 0:
        head = sheet[at:opened].rpartition(";")[2].rpartition("-->")[2].replace("<!--", " ").strip()
        if head.startswith("@"):
            at = _end_of(sheet, opened)
            continue
        closed = sheet.find("}", opened)
        if closed < 0:
            return
        yield head, sheet[opened + 1 : closed]
        at = closed + 1


def _end_of(sheet: str, opened: int) -> int:
    """Behind the bracket that closes this one."""
    depth = 0
    for bracket in re.finditer("[{}]", sheet[opened:]):
        depth += 1 if bracket[0] == "{" else -1
        if not depth:
            return opened + bracket.end()
    return len(sheet)


def _declared(body: str) -> Iterator[tuple[str, str, bool]]:
    """(property, value, whether it is important), the last of each counts."""
    for name, value, important in _SHOWN.findall(body):
        yield name.lower(), value.lower(), bool(important)
