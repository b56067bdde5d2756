"""The formats that we read: one line each says the media type, the extensions, how the content is
recognised, and who reads it.

It imports nothing of the project, so that both who takes files (documents) and who reads them
(processing.parsing) can ask it. A new format is a line here and a module in processing/parsing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from formats.signatures import (
    begins,
    contains,
    is_message,
    is_ole,
    is_pdf,
    is_rtf,
    is_text,
    of_open_document,
)

MOST_EXTENSIONS = 10

__all__ = ["BY_EXTENSION", "BY_MEDIA_TYPE", "FORMATS", "Format"]


@dataclass(frozen=True, slots=True)
class Format:
    """`recognises(head, file)` tells by the first `signatures.HEAD_BYTES` of a file, and the file
    itself where they do not suffice, whether it is of this kind. `reader` is the module of
    processing.parsing that has `read(file, draft)` and NO_TEXT, its sentence for a file without
    text; by name, because a module's libraries cost up to 0.2 s. `name` is said to people; `page`
    and `part` are what they call the place that a page number or a heading gives.
    """

    name: str
    media_type: str
    extensions: tuple[str, ...]
    recognises: Callable[[bytes, IO[bytes]], bool]
    reader: str
    page: str = "page"
    part: str = ""

    @property
    def label(self) -> str:
        """Its usual extension, "PDF"; its name where there are too many of them."""
        if len(self.extensions) > MOST_EXTENSIONS:
            return self.name.lower()
        return self.extensions[0].removeprefix(".").upper()


_OFFICE = "application/vnd.openxmlformats-officedocument"
_OPEN = "application/vnd.oasis.opendocument"
# Without those that name something else as well, or hold secrets (.env, .key).
_SOURCE = (
    ".py .pyi .js .mjs .cjs .jsx .ts .tsx .vue .svelte .java .kt .kts .scala .groovy .gradle .c .h"
    " .cc .cpp .cxx .hh .hpp .hxx .cs .fs .vb .go .rs .rb .php .pl .pm .lua .r .jl .swift .m .dart"
    " .hs .ml .ex .exs .erl .clj .lisp .el .pas .f90 .sql .sh .bash .zsh .fish .ps1 .bat .cmd .css"
    " .scss .sass .less .toml .ini .cfg .conf .properties .proto .graphql .tf .cmake .diff .patch"
)

FORMATS = (
    Format("PDF", "application/pdf", (".pdf",), is_pdf, "pdf"),
    Format(
        "Word document",
        f"{_OFFICE}.wordprocessingml.document",
        (".docx", ".docm", ".dotx", ".dotm"),
        contains("word"),
        "word",
    ),
    Format(
        "PowerPoint presentation",
        f"{_OFFICE}.presentationml.presentation",
        (".pptx", ".pptm", ".ppsx", ".ppsm", ".potx", ".potm"),
        contains("ppt"),
        "slides",
        page="slide",
    ),
    Format(
        "Excel workbook",
        f"{_OFFICE}.spreadsheetml.sheet",
        (".xlsx", ".xlsm", ".xltx", ".xltm"),
        contains("xl"),
        "sheets",
        part="sheet",
    ),
    Format(
        "Word document (97 to 2003)",
        "application/msword",
        (".doc", ".dot"),
        is_ole("WordDocument"),
        "old_word",
    ),
    Format(
        "PowerPoint presentation (97 to 2003)",
        "application/vnd.ms-powerpoint",
        (".ppt", ".pps", ".pot"),
        is_ole("PowerPoint Document"),
        "old_slides",
        page="slide",
    ),
    Format(
        "Excel workbook (97 to 2003)",
        "application/vnd.ms-excel",
        (".xls", ".xlt"),
        is_ole("Workbook", "Book"),
        "old_sheets",
        part="sheet",
    ),
    Format(
        "OpenDocument text",
        f"{_OPEN}.text",
        (".odt", ".ott", ".fodt"),
        of_open_document("text"),
        "open_document",
    ),
    Format(
        "OpenDocument presentation",
        f"{_OPEN}.presentation",
        (".odp", ".otp", ".fodp"),
        of_open_document("presentation"),
        "open_document",
        page="slide",
    ),
    Format(
        "OpenDocument spreadsheet",
        f"{_OPEN}.spreadsheet",
        (".ods", ".ots", ".fods"),
        of_open_document("spreadsheet"),
        "open_document",
        part="sheet",
    ),
    *(
        Format(f"{name} picture", f"image/{kind}", extensions, begins(*marks), "picture")
        for name, kind, extensions, marks in (
            ("PNG", "png", (".png",), (b"\x89PNG\r\n",)),
            ("JPEG", "jpeg", (".jpg", ".jpeg", ".jpe", ".jfif"), (b"\xff\xd8\xff",)),
            ("TIFF", "tiff", (".tif", ".tiff"), (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
            ("WebP", "webp", (".webp",), (b"RIFF",)),
            ("GIF", "gif", (".gif",), (b"GIF8",)),
            ("BMP", "bmp", (".bmp", ".dib"), (b"BM",)),
        )
    ),
    Format("RTF document", "application/rtf", (".rtf",), is_rtf, "rtf"),
    Format("EPUB book", "application/epub+zip", (".epub",), contains("META-INF"), "epub"),
    Format("E-mail", "message/rfc822", (".eml",), is_message, "mail"),
    Format("Mailbox", "application/mbox", (".mbox", ".mbx"), is_message, "mail"),
    Format(
        "Outlook message",
        "application/vnd.ms-outlook",
        (".msg", ".oft"),
        is_ole("__properties_version1.0"),
        "outlook",
    ),
    Format("Web archive", "multipart/related", (".mhtml", ".mht"), is_message, "mail"),
    Format("Markdown", "text/markdown", (".md", ".markdown"), is_text, "markdown"),
    Format("reStructuredText", "text/x-rst", (".rst", ".rest"), is_text, "restructured"),
    Format("AsciiDoc", "text/asciidoc", (".adoc", ".asciidoc", ".asc"), is_text, "asciidoc"),
    Format("TeX", "text/x-tex", (".tex", ".ltx", ".latex"), is_text, "tex"),
    Format("HTML page", "text/html", (".html", ".htm"), is_text, "html"),
    Format("XHTML page", "application/xhtml+xml", (".xhtml", ".xht"), is_text, "html"),
    Format("XML", "application/xml", (".xml",), is_text, "xml"),
    Format("JSON", "application/json", (".json", ".jsonl", ".ndjson", ".geojson"), is_text, "json"),
    Format("YAML", "application/yaml", (".yaml", ".yml"), is_text, "yaml"),
    Format("Jupyter notebook", "application/x-ipynb+json", (".ipynb",), is_text, "notebook"),
    Format("CSV table", "text/csv", (".csv",), is_text, "delimited"),
    Format("TSV table", "text/tab-separated-values", (".tsv", ".tab"), is_text, "delimited"),
    Format("Subtitles (SRT)", "application/x-subrip", (".srt",), is_text, "subtitles"),
    Format("Subtitles (WebVTT)", "text/vtt", (".vtt",), is_text, "subtitles"),
    Format("Log", "text/x-log", (".log",), is_text, "plain"),
    Format("Source code", "text/x-source", tuple(_SOURCE.split()), is_text, "plain"),
    Format("Plain text", "text/plain", (".txt", ".text"), is_text, "plain"),
)
BY_EXTENSION = {extension: format for format in FORMATS for extension in format.extensions}
BY_MEDIA_TYPE = {format.media_type: format for format in FORMATS}
