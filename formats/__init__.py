"""The formats that we read: one line each says the media type, the extensions, how the content is
recognised, and who reads it.

It imports nothing of the project, so that both who takes files (documents) and who reads them
(processing.parsing) can ask it. A new format is a line here and a module in processing/parsing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from formats.signatures import contains, is_pdf, is_text

__all__ = ["BY_EXTENSION", "BY_MEDIA_TYPE", "FORMATS", "Format"]


@dataclass(frozen=True, slots=True)
class Format:
    """`recognises(head, file)` tells by the first `signatures.HEAD_BYTES` of a file, and the file
    itself where they do not suffice, whether it is of this kind. `reader` is the module of
    processing.parsing that has `read(file, draft)` and NO_TEXT, its sentence for a file without
    text; by name, because a module's libraries cost up to 0.2 s.
    """

    media_type: str
    extensions: tuple[str, ...]
    recognises: Callable[[bytes, IO[bytes]], bool]
    reader: str


_OFFICE = "application/vnd.openxmlformats-officedocument"

FORMATS = (
    Format("application/pdf", (".pdf",), is_pdf, "pdf"),
    Format(f"{_OFFICE}.wordprocessingml.document", (".docx",), contains("word"), "word"),
    Format(f"{_OFFICE}.presentationml.presentation", (".pptx",), contains("ppt"), "slides"),
    Format(f"{_OFFICE}.spreadsheetml.sheet", (".xlsx",), contains("xl"), "sheets"),
    Format("application/epub+zip", (".epub",), contains("META-INF"), "epub"),
    Format("text/markdown", (".md", ".markdown"), is_text, "markdown"),
    Format("text/html", (".html", ".htm"), is_text, "html"),
    Format("text/csv", (".csv",), is_text, "delimited"),
    Format("text/plain", (".txt",), is_text, "plain"),
)
BY_EXTENSION = {extension: format for format in FORMATS for extension in format.extensions}
BY_MEDIA_TYPE = {format.media_type: format for format in FORMATS}
