"""What a document's text, passages and points were made from and with, as one number.

The reader's version is its source, and that of all it uses: nobody has to remember to count it up.
"""

import hashlib
import sys
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from django.conf import settings

from documents.models import Document

from .index import vectors

# Settings with these names change a passage, its vector, or where it goes; but not how it is asked
# for. A new setting counts by itself.
MAKE = ("CHUNK_", "EMBEDDING_", "OCR")
_ASK = ("API_BASE", "API_KEY", "TIMEOUT", "BATCH_SIZE", "TOKENIZE_URL")
ASK = {f"EMBEDDING_{name}" for name in _ASK}

_HERE = Path(__file__).parent
_SOURCES = ("parsing/**/*.py", "chunking.py", "index/*.py")


def of(document: Document) -> str:
    """64 hexadecimal digits."""
    made = {
        name: getattr(settings, name)
        for name in sorted(dir(settings))
        if name.startswith(MAKE) and name not in ASK
    }
    told = (document.sha256, document.content_type, document.filename)  # its name is in its points
    recognised = document.knowledge_base.languages
    parts = (*told, recognised, vectors.collection(), made, _version())
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@cache
def _version() -> str:
    """Of our own code that reads, splits and weighs, and of all packages."""
    digest = hashlib.sha256(repr(sys.version_info).encode())
    for path in sorted(path for pattern in _SOURCES for path in _HERE.glob(pattern)):
        digest.update(path.name.encode() + path.read_bytes())
    # As a set: importlib_metadata, imported by another thread meanwhile, would tell of each twice.
    for line in sorted({f"{each.name}=={each.version}" for each in distributions()}):
        digest.update(line.encode())
    return digest.hexdigest()
