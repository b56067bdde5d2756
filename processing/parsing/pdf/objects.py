"""What a PDF page shows beside letters: images and drawings."""

import ctypes
from collections.abc import Iterator

import pypdfium2 as pdfium
import pypdfium2.raw as raw

MAX_OBJECTS = 20_000
MAX_DEPTH = 4
MAX_PIXELS = 80_000_000  # of all images on a page: A3 at 600 dpi has 70
GRID = 24  # a page is measured in so many stripes each way
# Letters that were turned into shapes are many of them; a few lines are a decoration.
MIN_SHAPES = 12


def image_share(page: pdfium.PdfPage) -> float:
    """The share of the page that is under images, 0 to 1."""
    left, bottom, right, top = page.get_bbox()
    width, height = (right - left) / GRID, (top - bottom) / GRID
    if width <= 0 or height <= 0:
        return 0.0
    covered: set[tuple[int, int]] = set()
    for image in _objects(page, raw.FPDF_PAGEOBJ_IMAGE):
        sides = [ctypes.c_float() for _ in range(4)]
        if not raw.FPDFPageObj_GetBounds(image, *sides):
            continue
        west, south, east, north = (side.value for side in sides)
        columns = range(_stripe(west - left, width), _stripe(east - left, width))
        rows = range(_stripe(south - bottom, height), _stripe(north - bottom, height))
        covered.update((column, row) for column in columns for row in rows)
    return len(covered) / GRID**2


def is_heavy(page: pdfium.PdfPage) -> bool:
    """Whether to draw it would take too long, or too much memory."""
    if raw.FPDFPage_CountObjects(page) > MAX_OBJECTS:
        return True
    pixels = 0
    for image in _objects(page, raw.FPDF_PAGEOBJ_IMAGE):
        width, height = ctypes.c_uint(), ctypes.c_uint()
        if raw.FPDFImageObj_GetImagePixelSize(image, width, height):
            pixels += width.value * height.value
    return pixels > MAX_PIXELS


def has_images(page: pdfium.PdfPage) -> bool:
    return any(True for _ in _objects(page, raw.FPDF_PAGEOBJ_IMAGE))


def is_drawing(page: pdfium.PdfPage) -> bool:
    """Whether there are so many shapes that some may be letters."""
    shapes = (raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_SHADING)
    return sum(1 for _ in _objects(page, *shapes)) >= MIN_SHAPES


def _stripe(distance: float, width: float) -> int:
    return min(max(round(distance / width), 0), GRID)


def _objects(page: pdfium.PdfPage, *kinds: int) -> Iterator[object]:
    """Those of these kinds, also inside of groups (whose own places are the group's)."""
    left = MAX_OBJECTS
    groups: list[tuple[object, int]] = []
    for index in range(min(raw.FPDFPage_CountObjects(page), left)):
        item = raw.FPDFPage_GetObject(page, index)
        kind = raw.FPDFPageObj_GetType(item)
        if kind in kinds:
            yield item
        elif kind == raw.FPDF_PAGEOBJ_FORM:
            groups.append((item, 1))
        left -= 1
    while groups and left > 0:
        group, depth = groups.pop()
        for index in range(min(raw.FPDFFormObj_CountObjects(group), left)):
            item = raw.FPDFFormObj_GetObject(group, index)
            kind = raw.FPDFPageObj_GetType(item)
            if kind in kinds:
                # An image's own bounds count inside of its group; the group's, on the page.
                yield group if kind == raw.FPDF_PAGEOBJ_IMAGE else item
            elif kind == raw.FPDF_PAGEOBJ_FORM and depth < MAX_DEPTH:
                groups.append((item, depth + 1))
            left -= 1
