"""What is not accepted, or not possible now: an error with a stable code and a sentence."""

from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.template.defaultfilters import filesizeformat

from . import lifecycle


@dataclass
class Refused(Exception):
    """An upload that is not accepted: a stable code, a sentence for a person, an HTTP status."""

    code: str
    message: str
    status: int
    details: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message


def empty_file() -> Refused:
    return Refused("empty_file", "The file is empty.", 400)


def file_too_large() -> Refused:
    limit = filesizeformat(settings.UPLOAD_MAX_BYTES)
    return Refused(
        "file_too_large",
        f"The file is larger than {limit}, the most that is accepted.",
        413,
        {"max_bytes": settings.UPLOAD_MAX_BYTES},
    )


def invalid_filename(why: str) -> Refused:
    return Refused("invalid_filename", why, 400)


def duplicate_filename(error: lifecycle.DuplicateFilename, filename: str) -> Refused:
    details = {"filename": filename}
    if error.existing:
        details["document_id"] = str(error.existing)
    return Refused(
        "duplicate_filename",
        f"“{filename}” is already in this knowledge base. Open it, or replace it with this file.",
        409,
        details,
    )


def storage_unavailable() -> Refused:
    return Refused(
        "storage_unavailable",
        "The file could not be stored just now. Nothing was kept; please try again in a moment.",
        503,
    )
