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
    has_directory,
    is_bmp,
    is_card,
    is_epub,
    is_html,
    is_message,
    is_ole,
    is_pdf,
    is_rtf,
    is_sent,
    is_svg,
    is_text,
    is_webp,
    is_xml,
    of_open_document,
)

MOST_EXTENSIONS = 10  # of one thing; of more they are several

__all__ = [
    *("BY_EXTENSION", "BY_MEDIA_TYPE", "FORMATS", "Format"),
    *("extension_of_many", "meant_by", "of_content", "of_file"),
]


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
    def has_pictures(self) -> bool:
        """Its reader can say how a page looks."""
        return self.reader in ("pdf", "picture")

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
        Format(f"{name} picture", f"image/{kind}", extensions, recognises, "picture")
        for name, kind, extensions, recognises in (
            ("PNG", "png", (".png",), begins(b"\x89PNG\r\n")),
            ("JPEG", "jpeg", (".jpg", ".jpeg", ".jpe", ".jfif"), begins(b"\xff\xd8\xff")),
            ("TIFF", "tiff", (".tif", ".tiff"), begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
            ("WebP", "webp", (".webp",), is_webp),
            ("GIF", "gif", (".gif",), begins(b"GIF8")),
            ("BMP", "bmp", (".bmp", ".dib"), is_bmp),
        )
    ),
    Format("RTF document", "application/rtf", (".rtf",), is_rtf, "rtf"),
    Format("EPUB book", "application/epub+zip", (".epub",), is_epub, "epub"),
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
    Format("SVG drawing", "image/svg+xml", (".svg", ".svgz"), is_svg, "svg"),
    Format("XML", "application/xml", (".xml",), is_text, "xml"),
    Format("JSON", "application/json", (".json", ".jsonl", ".ndjson", ".geojson"), is_text, "json"),
    Format("YAML", "application/yaml", (".yaml", ".yml"), is_text, "yaml"),
    Format("Jupyter notebook", "application/x-ipynb+json", (".ipynb",), is_text, "notebook"),
    Format("CSV table", "text/csv", (".csv",), is_text, "delimited"),
    Format("TSV table", "text/tab-separated-values", (".tsv", ".tab"), is_text, "delimited"),
    Format("Subtitles (SRT)", "application/x-subrip", (".srt",), is_text, "subtitles"),
    Format("Subtitles (WebVTT)", "text/vtt", (".vtt",), is_text, "subtitles"),
    Format("Calendar", "text/calendar", (".ics",), is_card, "cards"),
    Format("Contacts", "text/vcard", (".vcf",), is_card, "cards"),
    Format("Log", "text/x-log", (".log",), is_text, "plain"),
    Format("Source code", "text/x-source", tuple(_SOURCE.split()), is_text, "plain"),
    Format("Plain text", "text/plain", (".txt", ".text"), is_text, "plain"),
)
BY_EXTENSION = {extension: format for format in FORMATS for extension in format.extensions}
BY_MEDIA_TYPE = {format.media_type: format for format in FORMATS}


def meant_by(typed: str) -> list[Format]:
    """The formats of an extension, or that people call so: pdf, .DOCX, word, picture, e-mail."""
    if known := BY_EXTENSION.get(_extension(typed)):
        return [known]
    word = _letters(typed)
    return [
        each
        for each in FORMATS
        if word and (word in _letters(each.name) or each.media_type.startswith(f"{word}/"))
    ]


def extension_of_many(typed: str) -> str:
    """The extension, where its format has those of several things: .py, of all source code."""
    known = BY_EXTENSION.get(_extension(typed))
    return _extension(typed) if known and len(known.extensions) > MOST_EXTENSIONS else ""


def _extension(typed: str) -> str:
    return f".{typed.lower().removeprefix('.')}"


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


# Programs of Office open what bears these names by its content, and others make use of it: a page
# or a table of text that is called .xls.
_TEXT_OF = {".doc": "text/plain", ".dot": "text/plain", ".xls": "text/csv", ".xlt": "text/csv"}


def of_file(extension: str, head: bytes, file: IO[bytes]) -> Format | None:
    """What a file of this name ("`.doc`") is: what the name says if the content agrees, else what
    the content says by a mark of its own; None where neither does.
    """
    named = BY_EXTENSION.get(extension)
    if named is None or named.recognises(head, file):
        return named
    if found := of_content(head, file):
        return found
    if extension in _TEXT_OF and is_text(head, file):
        return BY_MEDIA_TYPE[_TEXT_OF[extension]]
    return None


def of_content(head: bytes, file: IO[bytes]) -> Format | None:
    """The format whose mark the content has."""
    if has_directory(head, file):
        for format in FORMATS:
            if format.media_type in _MARKED and format.recognises(head, file):
                return format
    if not is_text(head, file):
        return None
    media_type = ""
    if is_sent(head):
        is_page = b"multipart/related" in head or b"saved by" in head.lower()
        media_type = "multipart/related" if is_page else "message/rfc822"
    elif is_html(head):
        media_type = "text/html"
    elif is_xml(head):
        media_type = "application/xml"
    return BY_MEDIA_TYPE.get(media_type)


# Of the formats that are no text, those that are told by more than their name.
_MARKED_READERS = {"pdf", "word", "slides", "sheets", "old_word", "old_slides", "old_sheets", "rtf"}
_MARKED_READERS |= {"open_document", "picture", "epub", "outlook"}
_MARKED = {format.media_type for format in FORMATS if format.reader in _MARKED_READERS}
