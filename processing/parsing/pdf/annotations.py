"""What stands on a PDF page without being part of it: the values of form fields, text boxes and
notes that were put there later, attached files.
"""

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from processing.parsing.pdf.words import Line, Word

_LINK, _POPUP, _WIDGET = raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_POPUP, raw.FPDF_ANNOT_WIDGET
_UNSEEN = raw.FPDF_ANNOT_FLAG_HIDDEN | raw.FPDF_ANNOT_FLAG_NOVIEW
_CHECKS = {raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON}
_VALUES = {
    raw.FPDF_FORMFIELD_TEXTFIELD,
    raw.FPDF_FORMFIELD_COMBOBOX,
    raw.FPDF_FORMFIELD_LISTBOX,
}
_PASSWORD = 1 << 13  # a flag of text fields: PDF 32000-1, table 228
MAX_ANNOTATIONS = 5_000  # of a page
MAX_FIELDS = 1_000  # of a page whose values are read
_NONE = -1  # the number of no field
MAX_ATTACHED = 50 * 1024**2  # bytes of one


@dataclass(slots=True)
class Field:
    """A form field's place on the page, and what it says: its value, or a check box's state, which
    `replaces` what is drawn there.
    """

    left: float
    bottom: float
    right: float
    top: float
    value: str
    replaces: bool

    def holds(self, word: Word) -> bool:
        centre = (word.left + word.right) / 2
        return self.left <= centre <= self.right and self.bottom <= word.middle <= self.top


@dataclass(slots=True)
class Annotations:
    """Of one page. `is_drawn`: something may be drawn on the page that is not part of it."""

    fields: list[Field] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[tuple[str, bytes | None]] = field(default_factory=list)
    is_drawn: bool = False


def annotations_of(document: pdfium.PdfDocument, page: pdfium.PdfPage) -> Annotations:
    found = Annotations()
    for index in range(min(raw.FPDFPage_GetAnnotCount(page), MAX_ANNOTATIONS)):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            kind = raw.FPDFAnnot_GetSubtype(annotation)
            if kind in (_LINK, _POPUP) or raw.FPDFAnnot_GetFlags(annotation) & _UNSEEN:
                continue
            found.is_drawn = True
            if kind == _WIDGET and len(found.fields) < MAX_FIELDS:
                _add_field(document, annotation, found)
            elif kind == raw.FPDF_ANNOT_FILEATTACHMENT:
                if attachment := raw.FPDFAnnot_GetFileAttachment(annotation):
                    found.files.append(_file(attachment))
            elif note := _string(raw.FPDFAnnot_GetStringValue, annotation, b"Contents").strip():
                found.notes.append(note)
        finally:
            raw.FPDFPage_CloseAnnot(annotation)
    return found


def place(lines: list[Line], fields: list[Field]) -> list[Line]:
    """The lines with each field's value where it stands: behind its name on the same height, else
    above what stands lower. PDFium has them, if at all, at the page's end.
    """
    if not fields:
        return lines
    inside: dict[int, list[Line]] = {}
    kept: list[Line] = []
    rows = _rows(fields)
    for line in lines:
        parts: dict[int, Line] = {}
        for word in line:
            held = (n for n in rows.get(_row(word.middle), ()) if fields[n].holds(word))
            parts.setdefault(next(held, _NONE), []).append(word)
        if rest := parts.pop(_NONE, None):
            kept.append(rest)
        for number, part in parts.items():
            inside.setdefault(number, []).append(part)
    for number, each in enumerate(fields):
        value = inside.get(number, [])
        if each.replaces or not value:
            value = [[_word(each)]] if each.value else []
        if value:
            _insert(kept, each, value)
    return kept


def _rows(fields: list[Field]) -> dict[int, list[int]]:
    """The fields' numbers by the stripes of the page in which they stand."""
    rows: dict[int, list[int]] = {}
    for number, each in enumerate(fields):
        for row in range(_row(each.bottom), min(_row(each.top), _row(each.bottom) + 500) + 1):
            rows.setdefault(row, []).append(number)
    return rows


def _row(height: float) -> int:
    return int(height // 10)


def attachments_of(document: pdfium.PdfDocument) -> Iterator[tuple[str, bytes | None]]:
    """(name, content) of the files in the document; None for the content of what is too large."""
    for index in range(raw.FPDFDoc_GetAttachmentCount(document)):
        if attachment := raw.FPDFDoc_GetAttachment(document, index):
            yield _file(attachment)


def _add_field(document: pdfium.PdfDocument, annotation: object, found: Annotations) -> None:
    form = document.formenv
    rect = raw.FS_RECTF()
    if form is None or not raw.FPDFAnnot_GetRect(annotation, rect):
        return
    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    is_secret = False
    if kind in _CHECKS:
        value = "☑" if raw.FPDFAnnot_IsChecked(form, annotation) else "☐"
    elif kind not in _VALUES:
        return
    elif raw.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD:
        value, is_secret = "", True
    else:
        value = _string(raw.FPDFAnnot_GetFormFieldValue, form, annotation).strip()
    sides = (rect.left, rect.bottom, rect.right, rect.top)
    found.fields.append(Field(*sides, value, kind in _CHECKS or is_secret))


def _word(field: Field) -> Word:
    """The value as it would stand in the field's first line."""
    height = min(field.top - field.bottom, 14.0)
    middle = (
        field.top - height / 2
        if field.top - field.bottom > 28
        else ((field.top + field.bottom) / 2)
    )
    box = (field.left, middle - height / 2, field.right, middle + height / 2)
    return Word(" ".join(field.value.split()), *box)


def _insert(lines: list[Line], field: Field, inside: list[Line]) -> None:
    first = inside[0][0]
    beside = [
        (first.left - line[-1].right, n)
        for n, line in enumerate(lines)
        if abs(line[-1].middle - first.middle) < 0.7 * max(line[-1].height, first.height)
        and line[-1].left < first.left
    ]
    if beside:
        _, n = min(beside)
        lines[n] = lines[n] + inside[0]
        lines[n + 1 : n + 1] = inside[1:]
        return
    lower = (n for n, line in enumerate(lines) if line[0].middle < field.bottom)
    n = next(lower, len(lines))
    lines[n:n] = inside


def _file(attachment: object) -> tuple[str, bytes | None]:
    name = _string(raw.FPDFAttachment_GetName, attachment)
    size = ctypes.c_ulong()
    if not raw.FPDFAttachment_GetFile(attachment, None, 0, size) or size.value > MAX_ATTACHED:
        return name, None
    data = ctypes.create_string_buffer(size.value)
    if not raw.FPDFAttachment_GetFile(attachment, data, size.value, size):
        return name, None
    return name, data.raw


def _string(get: Callable[..., int], *arguments: object) -> str:
    """A string of PDFium's: asked for its size first, in UTF-16."""
    size = get(*arguments, None, 0)
    if size <= 2:
        return ""
    data = (ctypes.c_ushort * (size // 2 + 1))()
    get(*arguments, data, size)
    return bytes(data)[: size - 2].decode("utf-16-le", "replace")
