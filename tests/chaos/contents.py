"""Seeded documents: mostly small ones, in every format; some long, some that nobody can read.

And what the product must make of each: the passages of a run without faults.
"""

import hashlib
import io
import random
from dataclasses import dataclass
from functools import lru_cache

from formats import BY_EXTENSION
from processing import chunking
from processing.errors import PermanentError
from processing.parsing.child import reader
from processing.parsing.draft import Draft
from tests.processing import files

SUFFIXES = {  # how often
    ".md": 28, ".txt": 28, ".html": 10, ".csv": 8, ".pdf": 12, ".docx": 4, ".xlsx": 4, ".epub": 4,
    ".pptx": 2,
}  # fmt: skip
LONG, MIDDLE, UNREADABLE = 0.01, 0.10, 0.015  # shares of all documents
LONG_SECTIONS = range(100, 131)  # more than one piece (processing/parsing/draft.py)
LONG_SUFFIXES = [".md", ".txt", ".pdf"]
SENTENCES = 11  # of a long document's section, a line each
LETTERS = "abcdefghijklmnopqrstuvwxyz"
# The model knows each whole; words of letters drawn by lot cost it three times as long.
WORDS = [
    "air", "area", "art", "back", "body", "book", "business", "car", "case", "change", "child",
    "city", "community", "company", "country", "day", "door", "education", "end", "eye", "face",
    "fact", "family", "father", "force", "friend", "game", "girl", "government", "group",
    "hand", "head", "health", "history", "home", "hour", "house", "idea", "information",
    "issue", "job", "kind", "law", "level", "life", "line", "man", "member", "minute", "moment",
    "money", "month", "morning", "mother", "name", "night", "number", "office", "parent",
    "part", "party", "people", "person", "place", "point", "power", "president", "problem",
    "program", "question", "reason", "research", "result", "right", "room", "school", "service",
    "side", "state", "story", "student", "study", "system", "teacher", "team", "thing", "time",
    "war", "water", "way", "week", "woman", "word", "work", "world", "year",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes; `marker` is a word that no other document has ("" where none can be read)."""

    suffix: str
    data: bytes
    marker: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Expected:
    """What must become of a content: its text and passages, or a failure's code."""

    text: str = ""
    pieces: tuple[chunking.Piece, ...] = ()
    failure: str = ""


def make(choice: random.Random, suffix: str = "") -> Content:
    """A new document, of this type or of any."""
    marker = "".join(choice.choices(LETTERS, k=12))
    kind = choice.random()
    if kind < UNREADABLE and suffix in ("", ".pdf"):
        return Content(".pdf", files.encrypted_pdf() + f"\n%{marker}\n".encode(), "")
    if kind < UNREADABLE + LONG and suffix in ("", *LONG_SUFFIXES):
        suffix = suffix or choice.choice(LONG_SUFFIXES)
        return Content(suffix, _long(choice, suffix, marker), marker)
    suffix = suffix or choice.choices(list(SUFFIXES), list(SUFFIXES.values()))[0]
    sentences = choice.randint(12, 50) if kind > 1 - MIDDLE else choice.randint(1, 16)
    paragraphs = [f"The word is {marker}."] + [_sentence(choice) for _ in range(sentences)]
    return Content(suffix, _file(suffix, paragraphs), marker)


@lru_cache(maxsize=4096)
def expected(content: Content) -> Expected:
    """By the product's own reader and splitter, in this process, with nothing in their way."""
    read, no_text = reader(BY_EXTENSION[content.suffix].media_type)
    draft = Draft()
    try:
        read(io.BytesIO(content.data), draft)
        document = draft.finish(no_text)
    except PermanentError as error:
        return Expected(failure=error.code)
    return Expected(document.text, tuple(chunking.split(document)))


def _long(choice: random.Random, suffix: str, marker: str) -> bytes:
    """Sections, or pages, of a passage or two each."""
    sections = [f"The word is {marker}."]
    for number in range(choice.choice(LONG_SECTIONS)):
        sentences = (_sentence(choice) for _ in range(SENTENCES))
        sections.append("\n".join([f"# Section {number}", "", *sentences]))
    if suffix == ".pdf":
        return files.pdf(sections)
    return "\n\n".join(sections).encode()


def _sentence(choice: random.Random) -> str:
    return f"{' '.join(choice.choices(WORDS, k=12)).capitalize()}."


def _file(suffix: str, paragraphs: list[str]) -> bytes:
    match suffix:
        case ".pdf":
            pages = [paragraphs[start : start + 20] for start in range(0, len(paragraphs), 20)]
            return files.pdf(["\n".join(page) for page in pages])
        case ".docx":
            return files.docx([("Normal", paragraph) for paragraph in paragraphs])
        case ".pptx":
            return files.pptx([("Slide", " ".join(paragraphs), "")])
        case ".xlsx":
            return files.xlsx({"Sheet": [[paragraph] for paragraph in paragraphs]})
        case ".epub":
            return files.epub(["".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)])
        case ".html":
            body = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
            return f"<html><body>{body}</body></html>".encode()
        case ".csv":
            return "\n".join(["text", *paragraphs]).encode()
    return "\n\n".join(paragraphs).encode()
