"""How a message is read, whatever program wrote it down: who, to whom, when and about what, then
its text, then what is attached to it.
"""

from dataclasses import dataclass, field

from processing.parsing.draft import Draft, Outline, clean, one_line
from processing.parsing.embedded import read_embedded
from processing.parsing.html import read_markup

NO_SUBJECT = "(no subject)"


@dataclass(slots=True)
class Attachment:
    """A file that came along; without content where that cannot be read."""

    name: str
    content: bytes | None
    media_type: str = ""


@dataclass(slots=True)
class Letter:
    """`fields` are the lines of its head as a person sees them: ("From", "Ada <ada@example.org>").
    Its text is plain or HTML; where there are both, they say the same.
    """

    subject: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)
    plain: str = ""
    html: str = ""
    attachments: list[Attachment] = field(default_factory=list)
    locked_count: int = 0  # of its parts, those that need a key


def add_letter(letter: Letter, draft: Draft) -> None:
    """Append a message below its subject. Raises as `Draft.add`."""
    subject = one_line(letter.subject) or NO_SUBJECT
    outline = Outline()
    path = outline.enter(1, subject)
    fields = [(name, _on_one_line(value)) for name, value in letter.fields if value.strip()]
    head = [f"Subject: {_on_one_line(letter.subject)}"] if letter.subject.strip() else []
    head += [f"{name}: {value}" for name, value in fields]
    draft.add("\n".join(head), heading=path, apart=True)
    body = Draft(draft)
    if letter.html:
        read_markup(letter.html, body, Outline(), titled=False)
    if body.is_empty:
        body = Draft(draft)
        body.add(letter.plain)
    said = dict(fields)
    # Of a long letter, each passage says whose it is.
    context = ", ".join(said[name] for name in ("From", "Date") if name in said)
    draft.append(body, path, apart=False, context=context)
    if letter.locked_count:
        draft.unread("locked_part", path, letter.locked_count)
    for file in letter.attachments:
        read_embedded(file.name, file.content, draft, below=path, media_type=file.media_type)


def _on_one_line(value: str) -> str:
    return " ".join(clean(value).split())
