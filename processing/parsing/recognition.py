"""Text recognition (OCR) by Tesseract, inside of this process: what is written in a picture, word
by word with its place.

A model is loaded once, before the children are forked, because they open no file; and used once,
because Tesseract makes some of its tables at the first page.
"""

import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import tesserocr
from PIL import Image

from formats import tessdata

# Of its own opinion, 0 to 100. Textures of photographs are taken for letters below these: words
# alone, and all on a page together.
MIN_WORD_CONFIDENCE = 25
MIN_CONFIDENCE = 45
# Below this a page is looked at again: it may stand on its head, or be in another script.
DOUBTFUL = 75
PAGE_SECONDS = 20
# Degrees by which a scan lies askew; Tesseract makes the ends of long lines lines of their own.
MIN_SKEW, MAX_SKEW, SKEW_STEP = 0.75, 4.0, 0.25
MIN_SIDE = 12  # pixels; a smaller picture holds no word
MIN_ORIENTATION = 2.0  # Tesseract's confidence, as its own programs take it
# Pixels from the top of a line to its foot. (14 points of Chinese: 7.5 % wrong at 55, none at 36.)
GOOD_LINE, LARGE_LINE, MAX_LINE = 36, 44, 200
INK_SHARE = 0.15  # of the darkest row: what has less is paper
_SCRIPTS = {"Latin": "latin", "Fraktur": "latin", "Cyrillic": "cyrillic"}
_WORD = tesserocr.RIL.WORD


@dataclass(frozen=True, slots=True)
class Picture:
    """Grey pixels, a byte each, from the upper left corner; `stride` bytes a line."""

    pixels: bytes
    width: int
    height: int
    stride: int
    dpi: int


@dataclass(frozen=True, slots=True)
class Found:
    """A word, and its box in pixels from the upper left corner."""

    text: str
    left: int
    top: int
    right: int
    bottom: int


@dataclass(slots=True)
class Reading:
    """What was recognised: lines of words, and how sure Tesseract is of all, 0 to 100; `turn`
    quarter turns, clockwise, made the picture upright, whose size is then `width` by `height`,
    after it was made level by `degrees` to the left about its middle.
    """

    width: int
    height: int
    lines: list[list[Found]] = field(default_factory=list)
    confidence: float = 0.0
    turn: int = 0
    degrees: float = 0.0

    @property
    def letters(self) -> int:
        return sum(len(word.text) for line in self.lines for word in line)


@cache
def warm_up(languages: str = "") -> None:
    """Load the models of these languages ("deu+eng"; all that there are if empty)."""
    blank = Picture(b"\xff" * 10_000, 100, 100, 100, 70)
    for group in tessdata.groups(languages):
        _recognised(blank, _engine(group))
    if tessdata.orientation() and (engine := _orientation()):
        _show(blank, engine)
        with suppress(RuntimeError):
            engine.DetectOrientationScript()


def recognise(picture: Picture, languages: str = "") -> Reading:
    """The words of a picture; none where there are none, or hardly one can be told."""
    groups = tessdata.groups(languages)
    if min(picture.width, picture.height) < MIN_SIDE or not groups:
        return Reading(picture.width, picture.height)
    whole = picture
    level, degrees = _level(picture)
    picture = _sized(level)
    best = _recognised(picture, _engine(groups[0]))
    if best.confidence < DOUBTFUL:
        for reading in _otherwise(picture, groups):
            if _worth(reading) > _worth(best):
                best = reading
    if best.confidence < MIN_CONFIDENCE:
        return Reading(whole.width, whole.height)
    best = _enlarged(best, whole.width / picture.width)
    best.degrees = degrees
    return best


def _otherwise(picture: Picture, groups: tuple[str, ...]) -> Iterator[Reading]:
    """Read as it stands upright, and in the script that it seems to be in."""
    turn, script = 0, ""
    if engine := _orientation():
        _show(picture, engine)
        with suppress(RuntimeError):
            if said := engine.DetectOrientationScript():
                script = str(said["script_name"])
                if said["orient_conf"] >= MIN_ORIENTATION:
                    turn = int(said["orient_deg"]) // 90 % 4
    upright = _turned(picture, -turn % 4)
    chosen = tessdata.of_script(groups, _SCRIPTS.get(script, script.lower()))
    for group in chosen or groups[:1]:
        if turn or group != groups[0]:
            reading = _recognised(upright, _engine(group))
            reading.turn = -turn % 4
            yield reading


def _worth(reading: Reading) -> float:
    return reading.confidence * min(reading.letters, 20)


def _recognised(picture: Picture, engine: Any) -> Reading:
    _show(picture, engine)
    reading = Reading(picture.width, picture.height)
    if not engine.Recognize(PAGE_SECONDS * 1_000):
        return reading
    sure = letters = 0.0
    found = engine.GetIterator()
    for word in tesserocr.iterate_level(found, _WORD) if found else ():
        if word.Empty(_WORD):
            continue
        text, confidence = word.GetUTF8Text(_WORD).strip(), word.Confidence(_WORD)
        box = word.BoundingBox(_WORD)
        if word.IsAtBeginningOf(tesserocr.RIL.TEXTLINE) or not reading.lines:
            reading.lines.append([])
        if text and box and confidence >= MIN_WORD_CONFIDENCE:
            left, top, right, bottom = box
            reading.lines[-1].append(Found(text, left, top, right, bottom))
            sure += confidence * len(text)
        letters += len(text)
    reading.lines = [line for line in reading.lines if line]
    reading.confidence = sure / letters if letters else 0.0
    return reading


def _show(picture: Picture, engine: Any) -> None:
    engine.SetImageBytes(picture.pixels, picture.width, picture.height, 1, picture.stride)
    engine.SetSourceResolution(picture.dpi)


def _level(picture: Picture) -> tuple[Picture, float]:
    """With lines that are level: turned by so many degrees that rows of pixels differ most from
    each other.
    """
    size = (picture.width, picture.height)
    image = Image.frombuffer("L", size, picture.pixels, "raw", "L", picture.stride, 1)
    small = image.reduce(max(1, min(size) // 400))
    count = round(MAX_SKEW / SKEW_STEP)
    degrees = [step * SKEW_STEP for step in range(-count, count + 1)]
    best = max(degrees, key=lambda angle: (_contrast(small, angle), -abs(angle)))
    if abs(best) < MIN_SKEW:
        return picture, 0.0
    image = image.rotate(best, Image.Resampling.BICUBIC, fillcolor=255)
    return Picture(image.tobytes(), *size, size[0], picture.dpi), best


def _sized(picture: Picture) -> Picture:
    """Smaller where its letters are larger than those that Tesseract knows: strokes of large ones
    are taken for letters of their own, of Chinese above all.
    """
    size = (picture.width, picture.height)
    image = Image.frombuffer("L", size, picture.pixels, "raw", "L", picture.stride, 1)
    height = _line_height(image)
    if not LARGE_LINE < height < MAX_LINE:
        return picture
    factor = GOOD_LINE / height
    smaller = (round(size[0] * factor), round(size[1] * factor))
    pixels = image.resize(smaller, Image.Resampling.LANCZOS).tobytes()
    return Picture(pixels, *smaller, smaller[0], max(round(picture.dpi * factor), 70))


def _line_height(image: Any) -> float:
    """Of most lines, in pixels, by the rows that have ink; 0 where no lines can be told."""
    rows = image.resize((1, image.height), Image.Resampling.BOX).tobytes()
    paper, ink = statistics.median(sorted(rows)[-len(rows) // 4 :]), min(rows)
    limit = paper - INK_SHARE * (paper - ink)
    runs = (sum(1 for _ in run) for has_ink, run in groupby(rows, limit.__gt__) if has_ink)
    heights = [height for height in runs if height >= MIN_SIDE]
    return statistics.median(heights) if len(heights) > 1 else 0.0


def _enlarged(reading: Reading, factor: float) -> Reading:
    """With the places that its words have in the picture `factor` times as large."""
    if factor == 1.0:
        return reading
    lines = [
        [
            Found(
                word.text,
                *(round(side * factor) for side in (word.left, word.top, word.right, word.bottom)),
            )
            for word in line
        ]
        for line in reading.lines
    ]
    size = (round(reading.width * factor), round(reading.height * factor))
    return Reading(*size, lines, reading.confidence, reading.turn)


def _contrast(image: Any, degrees: float) -> float:
    """How much the rows of pixels differ."""
    turned = image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=255)
    rows = turned.resize((1, image.height), Image.Resampling.BOX).tobytes()
    return statistics.pvariance(rows)


def _turned(picture: Picture, turn: int) -> Picture:
    """By quarter turns, clockwise."""
    if not turn:
        return picture
    rows = [
        picture.pixels[n * picture.stride : n * picture.stride + picture.width]
        for n in range(picture.height)
    ]
    width, height = picture.width, picture.height
    if turn == 2:
        pixels = b"".join(row[::-1] for row in reversed(rows))
    else:
        # A column becomes a line: upwards for a turn to the right, downwards for one to the left.
        flat = b"".join(reversed(rows) if turn == 1 else rows)
        columns = [flat[n::width] for n in range(width)]
        pixels = b"".join(columns if turn == 1 else reversed(columns))
        width, height = height, width
    return Picture(pixels, width, height, width, picture.dpi)


@cache
def _engine(languages: str) -> Any:
    """The models of languages that are read together, from whichever folders they are in."""
    with tempfile.TemporaryDirectory() as folder:
        for language in languages.split("+"):
            os.symlink(tessdata.path_of(language), Path(folder, f"{language}.traineddata"))
        engine = tesserocr.PyTessBaseAPI(
            path=folder, lang=languages, oem=tesserocr.OEM.LSTM_ONLY, psm=tesserocr.PSM.AUTO
        )
    return engine


@cache
def _orientation() -> Any:
    """The model that tells scripts and how a page stands; None where it is not there."""
    if not (path := tessdata.orientation()):
        return None
    return tesserocr.PyTessBaseAPI(path=str(path), lang="osd", psm=tesserocr.PSM.OSD_ONLY)
