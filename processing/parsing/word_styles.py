"""What Word's styles say of a paragraph or a run that matters to its text."""

import re
from dataclasses import dataclass
from typing import Any

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
MAX_DIGITS = 12  # of any number that means something
MAX_BASES = 20  # Word itself allows about ten; also ends the loops
BODY_LEVEL = 9  # w:outlineLvl counts headings from 0; 9 is running text

_NAME = re.compile(r"heading ([1-9])|(title)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Style:
    """`level` is that of a heading (0 the title), `list` and `list_level` its numbering, `hides`
    whether its text is not shown; None where the style does not say.
    """

    level: int | None = None
    list: str | None = None
    list_level: int | None = None
    hides: bool | None = None


class Styles:
    """All styles of a document, by their ids, each with what it has from those it is based on."""

    def __init__(self, root: Any = None) -> None:
        elements = [] if root is None else list(root.iter(f"{W}style"))
        by_id = {element.get(f"{W}styleId"): element for element in elements}
        own = {id: (_own(element), value(element, "basedOn")) for id, element in by_id.items()}
        self._styles = {id: _with_bases(id, own) for id in own}
        usual = (e for e in elements if e.get(f"{W}default") == "1" and value(e, "type") != "x")
        paragraph = next((e for e in usual if e.get(f"{W}type") == "paragraph"), None)
        self._default = None if paragraph is None else paragraph.get(f"{W}styleId")

    def of(self, properties: Any, name: str) -> Style:
        """The style that w:pPr or w:rPr names with its child `name`."""
        named = None if properties is None else properties.find(f"{W}{name}")
        id = named.get(f"{W}val") if named is not None else None
        if id not in self._styles and name == "pStyle":
            id = self._default
        return self._styles.get(id, _NOTHING)


_NOTHING = Style()


def value(parent: Any, path: str) -> str | None:
    """The w:val of a descendant, None where there is none."""
    found = parent.find("/".join(f"{W}{name}" for name in path.split("/")))
    said: str | None = None if found is None else found.get(f"{W}val")
    return said


def is_on(parent: Any, name: str) -> bool | None:
    """Whether a property that is on or off is on; None where nothing is said."""
    if parent is None or (found := parent.find(f"{W}{name}")) is None:
        return None
    return found.get(f"{W}val", "true") not in ("0", "false", "off")


def number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text[:MAX_DIGITS])
    except ValueError:
        return None


def outline_level(properties: Any) -> int | None:
    """The level of a heading that w:pPr gives, -1 for running text."""
    level = number(value(properties, "outlineLvl"))
    if level is None:
        return None
    return level + 1 if level < BODY_LEVEL else -1


def _with_bases(id: str | None, styles: dict[str, tuple[Style, str | None]]) -> Style:
    """`styles`: what each says itself, and the one that it is based on."""
    level = list_ = list_level = hides = None
    for _ in range(MAX_BASES):
        if id not in styles:
            break
        own, id = styles[id]
        level = own.level if level is None else level
        list_ = own.list if list_ is None else list_
        list_level = own.list_level if list_level is None else list_level
        hides = own.hides if hides is None else hides
    return Style(level, list_, list_level, hides)


def _own(element: Any) -> Style:
    match = _NAME.fullmatch(value(element, "name") or "")
    level = (0 if match[2] else int(match[1])) if match else None
    properties = element.find(f"{W}pPr")
    if level is None and properties is not None:
        level = outline_level(properties)
    return Style(
        level,
        value(element, "pPr/numPr/numId"),
        number(value(element, "pPr/numPr/ilvl")),
        is_on(element.find(f"{W}rPr"), "vanish"),
    )
