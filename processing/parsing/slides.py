"""PPTX through python-pptx: one section per slide, its number as the page, its title as the
heading, notes at the end.
"""

from collections.abc import Iterable, Iterator
from typing import IO, Any

from pptx import Presentation
from pptx.enum.shapes import MSO_SHAPE_TYPE

from processing.parsing.archive import open_archive
from processing.parsing.draft import Draft, one_line

NO_TEXT = (
    "This presentation contains no text; if its slides are images, "
    "run text recognition (OCR) and upload the result."
)


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: see `open_archive`."""
    open_archive(file)
    for number, slide in enumerate(Presentation(file).slides, 1):
        title = slide.shapes.title
        heading = one_line(title.text_frame.text) if title is not None else ""
        lines = [heading, "", *_texts(shape for shape in slide.shapes if shape != title)]
        if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame):
            text = notes.text.strip()
            lines += ["", f"Notes: {text}"] if text else []
        draft.add("\n".join(lines), page=number, heading=heading)


def _texts(shapes: Iterable[Any]) -> Iterator[str]:
    """Frame by frame in the order of the file, which is the order that screen readers follow."""
    for shape in shapes:
        if shape.has_text_frame:
            yield shape.text_frame.text
        elif getattr(shape, "has_table", False):
            for row in shape.table.rows:
                yield " | ".join(filter(None, (" ".join(cell.text.split()) for cell in row.cells)))
        elif (
            getattr(shape, "has_chart", False)
            and shape.chart.has_title
            and shape.chart.chart_title.has_text_frame
        ):
            yield shape.chart.chart_title.text_frame.text
        elif shape.shape_type == MSO_SHAPE_TYPE.GROUP:
            yield from _texts(shape.shapes)
