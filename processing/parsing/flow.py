"""Text and tables in the order in which a person meets them, on their way into the draft."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from processing.parsing.draft import Draft
from processing.parsing.tables import CELL_END, add_table


class Sink(Protocol):
    """What takes lines and tables as they come."""

    def line(self, text: str) -> None: ...

    def table(self, rows: Iterable[Sequence[str]], header: int | None = None) -> None: ...


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
        self.lines += [CELL_END.join(filter(None, row)) for row in rows]

    def text(self) -> str:
        return "\n".join(self.lines).strip()
