"""Text and tables in the order in which a person meets them, on their way into the draft."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from processing.parsing.draft import Draft
from processing.parsing.picture import add_shown
from processing.parsing.tables import add_table


class Sink(Protocol):
    """What takes lines and tables as they come."""

    def line(self, text: str) -> None: ...

    def table(self, rows: Iterable[Sequence[str]], header: int | None = None) -> None: ...

    def picture(self, data: bytes) -> str:
        """See `picture.add_shown`; "later" where there is no room for it."""
        ...


class Flow:
    """Sections at one place of a document: one for the lines up to each table, those of the table.

    The place may be changed after `end`.
    """

    def __init__(
        self, draft: Draft, *, page: int | None = None, heading: str = "", apart: bool = False
    ) -> None:
        self.heading = heading
        self.has_text = False
        self._draft = draft
        self._page = page
        self._apart = apart  # whether the next section is
        self._lines: list[str] = []

    def line(self, text: str) -> None:
        self.has_text = self.has_text or any(map(str.isalnum, text))
        self._lines.append(text)

    def table(self, rows: Iterable[Sequence[str]], header: int | None = None) -> None:
        self.has_text = True
        self.end()
        add_table(
            self._draft,
            rows,
            header=header,
            page=self._page,
            heading=self.heading,
            apart=self._apart,
        )
        self._apart = False

    def picture(self, data: bytes) -> str:
        self.end()
        said = add_shown(data, self._draft, page=self._page, heading=self.heading)
        self.has_text = self.has_text or said == "read"
        return said

    def end(self) -> None:
        text = "\n".join(self._lines)
        self._lines = []
        if text.strip():
            self._draft.add(text, page=self._page, heading=self.heading, apart=self._apart)
            self._apart = False


class Words:
    """The same where there is no room for sections: in a cell, in a title."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def table(self, rows: Iterable[Sequence[str]], header: int | None = None) -> None:
        # Not as cells: they are within one.
        self.lines += [f"{', '.join(filter(None, row))};" for row in rows if any(row)]

    def picture(self, data: bytes) -> str:
        return "later"

    def text(self) -> str:
        return "\n".join(self.lines).strip()


class Pictures:
    """The pictures that a document shows, by their names in it: each is searched for text where it
    is first met; one that stands in a cell, behind its table.
    """

    def __init__(self, draft: Draft, load: Callable[[str], bytes | None]) -> None:
        self._draft = draft
        self._load = load
        self._met: set[str] = set()
        self._waiting: list[tuple[str, bool]] = []

    def show(self, name: str, sink: Sink, *, counts: bool) -> str:
        """As `Sink.picture`, and "again" for one that was met before. One that could not be
        searched is in the reading report if it `counts`.
        """
        if name in self._met:
            return "again"
        data = self._load(name)
        said = sink.picture(data) if data else "unread"
        if said == "later":
            self._waiting.append((name, counts))
            return said
        self._met.add(name)
        if said == "unread" and counts:
            self._draft.unread("picture")
        return said

    def show_waiting(self, sink: Sink) -> None:
        """Those for which there was no room."""
        waiting, self._waiting = self._waiting, []
        for name, counts in waiting:
            self.show(name, sink, counts=counts)
