"""Which languages text can be recognised in: Tesseract's models, those that come with the
installation and those of the host.

It imports no Tesseract, so that also those processes can ask that recognise nothing.
"""

import os
import sys
from functools import cache
from pathlib import Path

_SUFFIX = ".traineddata"


def _is_installed(entry: str) -> bool:
    """Whether packages are installed there: their data is beside, where sys.prefix may not be."""
    return Path(entry).name == "site-packages"


# The operator's folder, what the wheels bring along, Debian's packages (tesseract-ocr-fra).
FOLDERS = (
    os.environ.get("OCR_TESSDATA", ""),
    *(str(Path(entry).parents[2] / "share/tessdata") for entry in sys.path if _is_installed(entry)),
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tessdata",
)
_ORIENTATION = "osd"
MOST_TOGETHER = 4  # languages of one script that are tried on each page; each costs time
# The script of each language that is not written in Latin letters, as Tesseract calls it.
_SCRIPTS = {
    "cyrillic": "rus ukr bel bul srp mkd kaz kir mon tgk uzb_cyrl aze_cyrl",
    "han": "chi_sim chi_tra chi_sim_vert chi_tra_vert",
    "japanese": "jpn jpn_vert",
    "hangul": "kor kor_vert",
    "arabic": "ara fas urd pus snd uig",
    "hebrew": "heb yid",
    "greek": "ell grc",
    "devanagari": "hin mar nep san",
    "thai": "tha",
    "bengali": "ben asm",
    "tamil": "tam",
    "telugu": "tel",
    "kannada": "kan",
    "malayalam": "mal",
    "gujarati": "guj",
    "gurmukhi": "pan",
    "georgian": "kat",
    "armenian": "hye",
    "ethiopic": "amh tir",
    "khmer": "khm",
    "lao": "lao",
    "myanmar": "mya",
    "sinhala": "sin",
    "tibetan": "bod dzo",
}
_SCRIPT_OF = {language: script for script, names in _SCRIPTS.items() for language in names.split()}
_NO_LANGUAGE = {_ORIENTATION, "equ", "snum"}
_FIRST = ("eng", "deu")


@cache
def languages() -> tuple[str, ...]:
    """The names of the models that there are, as Tesseract calls them."""
    names = {path.name.removesuffix(_SUFFIX) for path in _files()}
    return tuple(sorted(names - _NO_LANGUAGE))


@cache
def path_of(language: str) -> Path:
    """The model of a language; of two, the first folder's."""
    return next(path for path in _files() if path.name == language + _SUFFIX)


@cache
def groups(wanted: str = "") -> tuple[str, ...]:
    """The languages that are read together, "eng+deu", by their scripts; the usual ones first.
    Those `wanted`, as far as they are there, else all.
    """
    usual = sorted(languages(), key=lambda name: (name not in _FIRST, name))
    chosen = [name for name in wanted.split("+") if name in languages()] or usual
    by_script: dict[str, list[str]] = {}
    for name in chosen:
        by_script.setdefault(script_of(name), []).append(name)
    return tuple("+".join(names[:MOST_TOGETHER]) for names in by_script.values())


def of_script(among: tuple[str, ...], script: str) -> list[str]:
    """Those groups that are written so. Japanese is written in Chinese letters, too."""
    alike = {"han": ("han", "japanese"), "katakana": ("japanese",), "hiragana": ("japanese",)}
    scripts = alike.get(script, (script,))
    return [group for group in among if script_of(group.partition("+")[0]) in scripts]


def script_of(language: str) -> str:
    return _SCRIPT_OF.get(language, "latin")


def orientation() -> Path | None:
    """The folder of the model that tells how a page stands."""
    return next((path.parent for path in _files() if path.stem == _ORIENTATION), None)


@cache
def _files() -> tuple[Path, ...]:
    found: list[Path] = []
    for folder in filter(None, FOLDERS):
        try:
            found += sorted(Path(folder).glob(f"*{_SUFFIX}"))
        except OSError:
            continue
    return tuple(found)
