"""What is asked: the words, and what people type around them.

    "exact phrase"  -word  -"a phrase"  name:report  type:pdf  tag:draft  kb:handbook
    after:2025-01-31  before:2025-02  -type:pdf  -tag:draft

Quotation marks of any language do; a value in quotation marks may have spaces. What looks like a
filter and is none (`http://...`, `after:lunch`, minus 12 °C) is words.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date

import formats
from processing.index import terms

MAX_LENGTH = 2000  # characters

_OPEN, _CLOSE = '"“”„‟«»「『＂', '"“”‟«»」』＂'
_WITHIN = r"(?<=[א-ת])[\"”](?=[א-ת])"  # of a Hebrew abbreviation
_QUOTED = rf"[{_OPEN}]((?:[^{_OPEN}{_CLOSE}]|{_WITHIN})+)[{_CLOSE}]"
_APART = r"(?<![^\W\u1000-\U0010ffff])"  # 19" is a measure; no space goes before 「
_DEGREES = r"\d+(?:[.,]\d+)?\s*(?:[°℃℉%‰]|(?:[CFKV]|dB|mV)\b)"  # below -20 °C excludes nothing
_PART = re.compile(  # the last group that takes part is the value
    rf"(?:(?<=\s)|^)(?P<no>[-−])?(?P<key>name|type|tag|kb|after|before)[:：](?:{_QUOTED}|(\S+))"
    rf"|(?:(?<=\s)|^(?!-\d))(?P<not>-(?!{_DEGREES})|−(?!\d))(?=[^\s\-])(?:{_QUOTED}|(\S+))"
    rf"|{_APART}{_QUOTED}",
    re.IGNORECASE,
)
_MARKS = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # of a direction
_DATE = re.compile(r"(\d{4})(?:[-/.](\d{1,2})(?:[-/.](\d{1,2}))?)?", re.ASCII)
_DAY_FIRST = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Query:
    """`text` is what both halves of the index are asked for, the words of the phrases included."""

    text: str = ""
    phrases: tuple[str, ...] = ()  # each hit has each of them
    excluded: tuple[str, ...] = ()  # words and phrases that no hit has
    names: tuple[str, ...] = ()  # the file's name has each of them
    types: tuple[str, ...] = ()  # one of these: pdf, docx ...
    tags: tuple[str, ...] = ()  # it has each of these
    bases: tuple[str, ...] = ()  # the knowledge base's name has one of these in it, or its slug is
    knowledge_bases: tuple[str, ...] | None = None  # slugs; None: all
    after: date | None = None  # uploaded on this day or later
    before: date | None = None  # uploaded before this day
    without: tuple["Query", ...] = ()  # filters alone: what one of these chooses is not meant

    @property
    def is_empty(self) -> bool:
        """Nothing is asked for: no word, and no document."""
        return not (self.has_words or self.chooses_documents or self.bases)

    @property
    def has_words(self) -> bool:
        return bool(terms.lexemes(self.text))

    @property
    def chooses_documents(self) -> bool:
        filters = (self.names, self.types, self.tags, self.after, self.before, self.without)
        return any(filters)

    def narrowed(
        self,
        *,
        phrases: Collection[str] = (),
        excluded: Collection[str] = (),
        names: Collection[str] = (),
        types: Collection[str] = (),
        tags: Collection[str] = (),
        knowledge_bases: Collection[str] | None = None,
        after: date | None = None,
        before: date | None = None,
    ) -> "Query":
        """What fields beside the text ask for, too: both hold."""
        phrases, excluded = [*map(_sendable, phrases)], [*map(_sendable, excluded)]
        slugs = self.knowledge_bases if knowledge_bases is None else tuple(knowledge_bases)
        return replace(
            self,
            text=" ".join([self.text, *phrases]).strip(),
            phrases=(*self.phrases, *filter(terms.lexemes, phrases)),
            excluded=(*self.excluded, *filter(terms.lexemes, excluded)),
            names=(*self.names, *filter(None, names)),
            types=(*self.types, *(each for value in types for each in _listed(value))),
            tags=(*self.tags, *filter(None, tags)),
            knowledge_bases=slugs,
            after=max(filter(None, (self.after, after)), default=None),
            before=min(filter(None, (self.before, before)), default=None),
        )


def parse(text: str) -> Query:
    """What the text asks for. Any text is a query."""
    text = _MARKS.sub("", _sendable(text))[:MAX_LENGTH]
    words: list[str] = []
    found: dict[str, list[str]] = {
        key: [] for key in ("phrase", "not", "name", "type", "tag", "kb", "after", "before")
    }
    without: list[Query] = []
    end = 0
    for match in _PART.finditer(text):
        key = (match["not"] and "not") or (match["key"] and match["key"].lower()) or "phrase"
        value = match[match.lastindex or 0]
        if match["key"]:
            value = value.lstrip(_OPEN)  # of a quotation that does not end
        if not _means_something(key, value):
            continue
        is_quoted = match[0][-1] in _CLOSE
        words.append(text[end : match.start()])
        end = match.end()
        if match["no"]:
            without += _each_alone(parse(match[0][1:]))
        elif key in ("kb", "tag") and not is_quoted:
            found[key] += filter(None, value.split(","))
        else:
            found[key].append(value)
        if key == "phrase":
            words.append(value)
    words.append(text[end:])
    return Query(
        text=" ".join(" ".join(words).split()),
        phrases=tuple(found["phrase"]),
        excluded=tuple(found["not"]),
        names=tuple(found["name"]),
        types=tuple(each for value in found["type"] for each in _listed(value)),
        tags=tuple(found["tag"]),
        bases=tuple(found["kb"]),
        after=max(map(day, found["after"]), default=None),
        before=min(map(day, found["before"]), default=None),
        without=tuple(without),
    )


def _sendable(text: str) -> str:
    """Without what neither the model nor PostgreSQL can be sent: half a surrogate, a NUL."""
    return text.encode(errors="replace").decode().replace("\x00", " ")


def _means_something(key: str, value: str) -> bool:
    if key in ("after", "before"):
        try:
            day(value)
        except ValueError:
            return False
        return True
    if key == "type":
        return any(formats.meant_by(each) for each in _listed(value))
    return bool(value.strip(" ,") if key in ("kb", "tag", "name") else terms.lexemes(value))


def _each_alone(asked: Query) -> list[Query]:
    """-tag:draft,old: neither of the two."""
    return [replace(asked, tags=(tag,)) for tag in asked.tags] or [asked]


def _listed(value: str) -> Iterator[str]:
    """`type:pdf,docx`"""
    yield from (each for each in value.lower().replace(" ", "").split(",") if each)


def day(value: str) -> date:
    """The day, the first day of the month or of the year: 2025-01-31, 2025/1, 31.01.2025. Raises
    ValueError.
    """
    if written := _DAY_FIRST.fullmatch(value):
        value = "-".join(reversed(written.groups()))
    match = _DATE.fullmatch(value)
    if not match:
        raise ValueError(value)
    year, month, day_ = match.groups("1")
    return date(int(year), int(month), int(day_))
