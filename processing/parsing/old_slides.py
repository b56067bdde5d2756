"""PPT of PowerPoint 97 to 2003 by [MS-PPT]: one place per slide, its number as the page, its title
as the heading; then its notes.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from processing.errors import PermanentError
from processing.parsing.draft import Draft, one_line
from processing.parsing.old_pictures import picture_at
from processing.parsing.ole import Container
from processing.parsing.picture import add_shown
from processing.parsing.sentences import DAMAGED, ENCRYPTED

NO_TEXT = (
    "This presentation contains no text; if its slides are images, "
    "run text recognition (OCR) and upload the result."
)
MAX_SLIDES = 10_000
MAX_EDITS = 10_000  # that were saved one after the other into one file
MAX_DEPTH = 40
MAX_RECORDS = 5_000_000

_DOCUMENT, _SLIDE_LIST, _SLIDE_ENTRY = 0x03E8, 0x0FF0, 0x03F3
_NOTES, _NOTES_OF, _EDIT, _DIRECTORY = 0x03F0, 0x03F1, 0x0FF5, 0x1772
_KIND, _WIDE, _NARROW, _OUTLINE, _SHAPE, _PLACEHOLDER = (
    0x0F9F,
    0x0FA0,
    0x0FA8,
    0x0F9E,
    0xF004,
    0x0BC3,
)
_PICTURE_SHAPE, _COMMENT, _STRING = 0xF00A, 0x2EE0, 0x0FBA
_NEWER = 0x138B  # of PowerPoint 2000 and later: comments
_STORED, _PROPERTIES, _PICTURE_NUMBER = 0xF007, 0xF00B, 0x0104
_TITLES = {0, 6}
_FOOTERS = {7, 8, 9, 10}  # placeholders: date, slide number, footer, header
_LOCKED = 0xF3D1C4DF
_OBJECT = 0x1011
_PICTURE_FRAME = 75


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: `encrypted`, `corrupt`."""
    container = Container(file)
    user = container.read("Current User")
    if "EncryptedSummary" in container.names or (
        len(user) >= 16 and struct.unpack_from("<I", user, 12)[0] == _LOCKED
    ):
        raise PermanentError("encrypted", ENCRYPTED)
    data = container.read("PowerPoint Document")
    if len(data) < 8:
        raise PermanentError("corrupt", DAMAGED)
    try:
        deck = _Deck(data, user)
        slides = deck.slides()
    except (struct.error, KeyError, IndexError) as error:
        raise PermanentError("corrupt", DAMAGED) from error
    if deck.objects:
        draft.unread("embedded_file", count=deck.objects)
    store = container.read("Pictures")
    read_before: set[int] = set()
    for number, slide in enumerate(slides, 1):
        title = one_line(slide.title)
        lines = [slide.title, "", *slide.texts] if title else slide.texts
        text = "\n".join(lines)
        draft.add("\n\n".join((text, *slide.notes)), page=number, heading=title)
        said = []
        for shown in slide.shown:
            if shown not in read_before:
                read_before.add(shown)
                found = picture_at(store, deck.places[shown - 1])
                said.append(
                    add_shown(found[1], draft, page=number, heading=title) if found else "unread"
                )
        if slide.pictures and not any(map(str.isalnum, text)) and "read" not in said:
            is_searched = bool(said) and "unread" not in said
            draft.unread("wordless_page" if is_searched else "image_page", page=number)


@dataclass(slots=True)
class _Slide:
    title: str = ""
    texts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: int = 0
    shown: list[int] = field(default_factory=list)  # the numbers of those that are bitmaps


@dataclass(frozen=True, slots=True)
class _Record:
    kind: int
    instance: int
    is_container: bool
    start: int
    end: int


class _Deck:
    def __init__(self, data: bytes, user: bytes) -> None:
        self._data = data
        self._places: dict[int, int] = {}
        self._document = 0
        self._left = MAX_RECORDS
        edit = struct.unpack_from("<I", user, 16)[0] if len(user) >= 20 else 0
        self._read_edits(edit)
        self.places: list[int] = []  # of the pictures in their own stream, by their number

    @property
    def objects(self) -> int:
        """Charts, tables and other things that are files of other programs."""
        kinds = (self._record(place).kind for place in self._places.values())
        return sum(kind == _OBJECT for kind in kinds)

    def slides(self) -> list[_Slide]:
        """Raises struct.error, KeyError where the file is damaged."""
        document = self._record(self._places[self._document])
        found: dict[int, _Slide] = {}
        notes = []
        self.places = [
            struct.unpack_from("<I", self._data, record.start + 28)[0]
            for record in self._deep(document)
            if record.kind == _STORED and record.end - record.start >= 36
        ]
        for part in self._inner(document):
            if part.kind != _SLIDE_LIST:
                continue
            for number, slide, outline in self._entries(part):
                if part.instance == 0 and len(found) < MAX_SLIDES:
                    found[slide] = self._slide(number, outline)
                elif part.instance == 2:
                    notes.append(number)
        for number in notes:
            if number in self._places:
                self._read_notes(self._record(self._places[number]), found)
        return list(found.values())

    def _read_edits(self, at: int) -> None:
        """Where each part is: the last edit knows it best."""
        seen: set[int] = set()
        while at and at not in seen and len(seen) < MAX_EDITS:
            seen.add(at)
            record = self._record(at)
            if record.kind != _EDIT:
                break
            earlier, directory, document = struct.unpack_from("<III", self._data, record.start + 8)
            self._document = self._document or document
            for number, place in self._directory(self._record(directory)):
                self._places.setdefault(number, place)
            at = earlier

    def _directory(self, record: _Record) -> Iterator[tuple[int, int]]:
        at = record.start
        while record.kind == _DIRECTORY and at + 4 <= record.end:
            head = struct.unpack_from("<I", self._data, at)[0]
            first, count = head & 0xFFFFF, head >> 20
            for number in range(count):
                at += 4
                if at + 4 > record.end:
                    return
                yield first + number, struct.unpack_from("<I", self._data, at)[0]
            at += 4

    def _entries(self, part: _Record) -> Iterator[tuple[int, int, list[tuple[int, str]]]]:
        """(number of the part, of the slide, the texts in the outline with their kinds)."""
        entry: tuple[int, int, list[tuple[int, str]]] | None = None
        kind = -1
        for record in self._inner(part):
            if record.kind == _SLIDE_ENTRY:
                if entry:
                    yield entry
                number, _, _, slide = struct.unpack_from("<IIII", self._data, record.start)
                entry = (number, slide, [])
            elif record.kind == _KIND:
                kind = self._number(record)
                if entry:
                    entry[2].append((kind, ""))
            elif entry and record.kind in (_WIDE, _NARROW) and entry[2]:
                entry[2][-1] = (kind, self._text(record))
        if entry:
            yield entry

    def _slide(self, number: int, outline: list[tuple[int, str]]) -> _Slide:
        slide = _Slide()
        said: set[int] = set()
        if number in self._places:
            for shape in self._shapes(self._record(self._places[number]), slide):
                self._read_shape(shape, slide, outline, said)
        for index, (kind, text) in enumerate(outline):
            if index not in said:
                self._put(slide, kind, text)
        return slide

    def _shapes(self, record: _Record, slide: _Slide, depth: int = 0) -> Iterator[_Record]:
        for inner in self._inner(record):
            if inner.kind == _SHAPE:
                yield inner
            elif inner.kind == _COMMENT:
                said = [r for r in self._inner(inner) if r.kind == _STRING and r.instance < 2]
                slide.notes.append(": ".join(self._text(record) for record in said))
            elif inner.is_container and depth < MAX_DEPTH:
                yield from self._shapes(inner, slide, depth + 1)

    def _read_shape(
        self, shape: _Record, slide: _Slide, outline: list[tuple[int, str]], said: set[int]
    ) -> None:
        kind = -1
        for record in self._deep(shape):
            if record.kind == _PLACEHOLDER:
                if self._data[record.start + 4] in _FOOTERS:
                    return
            elif record.kind == _PICTURE_SHAPE:
                slide.pictures += record.instance == _PICTURE_FRAME
            elif record.kind == _PROPERTIES:
                slide.shown += self._shown(record)
            elif record.kind == _KIND:
                kind = self._number(record)
            elif record.kind in (_WIDE, _NARROW):
                self._put(slide, kind, self._text(record))
            elif record.kind == _OUTLINE:
                index = self._number(record)
                if index < len(outline) and index not in said:
                    said.add(index)
                    self._put(slide, *outline[index])

    def _shown(self, record: _Record) -> Iterator[int]:
        """The numbers of the pictures that a shape shows."""
        for at in range(record.start, min(record.start + 6 * record.instance, record.end - 5), 6):
            name, value = struct.unpack_from("<HI", self._data, at)
            if name & 0x3FFF == _PICTURE_NUMBER and 0 < value <= len(self.places):
                yield value

    def _number(self, record: _Record) -> int:
        number: int = struct.unpack_from("<I", self._data, record.start)[0]
        return number

    def _put(self, slide: _Slide, kind: int, text: str) -> None:
        if kind in _TITLES and not slide.title:
            slide.title = text
        elif text.strip() and text.strip() != "*":
            slide.texts.append(text)

    def _read_notes(self, record: _Record, slides: dict[int, _Slide]) -> None:
        of = next((r for r in self._inner(record) if r.kind == _NOTES_OF), None)
        slide = slides.get(self._number(of)) if of else None
        if slide is None:
            return
        notes = _Slide()
        for shape in self._shapes(record, notes):
            self._read_shape(shape, notes, [], set())
        slide.notes += notes.texts

    def _text(self, record: _Record) -> str:
        data = self._data[record.start : record.end]
        narrow = record.kind == _NARROW
        text = data.decode("latin-1") if narrow else data.decode("utf-16-le", "replace")
        return text.replace("\r", "\n").replace("\x0b", "\n").strip("\0")

    def _deep(self, record: _Record, depth: int = 0) -> Iterator[_Record]:
        for inner in self._inner(record):
            yield inner
            if inner.is_container and depth < MAX_DEPTH:
                yield from self._deep(inner, depth + 1)

    def _inner(self, record: _Record) -> Iterator[_Record]:
        at = record.start
        while at + 8 <= record.end:
            inner = self._record(at, record.end)
            yield inner
            at = inner.end
            self._left -= 1
            if self._left < 0:
                raise PermanentError("corrupt", DAMAGED)

    def _record(self, at: int, limit: int | None = None) -> _Record:
        head, kind, size = struct.unpack_from("<HHI", self._data, at)
        end = min(at + 8 + size, len(self._data) if limit is None else limit)
        # The text of a shape is a container without the mark of one, and so are newer things.
        is_container = head & 0xF == 0xF or kind in (0xF00D, _NEWER)
        return _Record(kind, head >> 4, is_container, at + 8, end)
