"""What is not accepted, or not possible now: an error with a stable code and a sentence."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.template.defaultfilters import filesizeformat

from . import lifecycle
from .models import Document


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


def request_too_large(limit: int) -> Refused:
    """It was not looked into: perhaps no file is too large, only all of them together are."""
    return Refused(
        "file_too_large",
        f"More than {filesizeformat(limit)} at once is not accepted, and no file larger than "
        f"{filesizeformat(settings.UPLOAD_MAX_BYTES)}. Nothing was kept.",
        413,
        {"max_bytes": settings.UPLOAD_MAX_BYTES},
    )


def invalid_filename(why: str) -> Refused:
    return Refused("invalid_filename", why, 400)


def is_deleted() -> Refused:
    return Refused("deleted", "It is deleted; restore it first.", 409)


def too_many_files(count: int) -> Refused:
    return Refused(
        "one_file_only", f"Send one file in a request; these were {count}, and none was kept.", 400
    )


def unknown_fields(unknown: Iterable[str], known: Collection[str] = ()) -> Refused:
    """Who misspells a filter must not be answered as if there was none."""
    names = sorted(unknown)
    message = f"Not known here: {', '.join(names)}."
    if known:
        message += f" Known are: {', '.join(sorted(known))}."
    return Refused("unknown_field", message, 422, dict.fromkeys(names, "This is not known here."))


def duplicate_filename(error: lifecycle.DuplicateFilename, filename: str, sha256: str) -> Refused:
    """The name is taken; `sha256` of what was to have it tells a client whether that is there."""
    details: dict[str, Any] = {"filename": filename}
    known = Document.objects.filter(pk__in=[error.existing] if error.existing else [])
    there = known.values("sha256", "size", "created_at").first()
    if there is None:
        message = f"“{filename}” was in this knowledge base a moment ago; please try again."
    else:
        same = there["sha256"] == sha256
        details |= {
            "document_id": str(error.existing),
            "sha256": there["sha256"],
            "size": there["size"],
            "created_at": there["created_at"].isoformat(),
            "same_content": same,
        }
        message = f"“{filename}” is already in this knowledge base" + (
            ", with the same content." if same else ", with other content."
        )
    return Refused("duplicate_filename", message, 409, details)


def knowledge_base_gone() -> Refused:
    """Of an upload that was under way when somebody deleted it."""
    return Refused("not_found", "This knowledge base has just been deleted; nothing was kept.", 404)


def no_room() -> Refused:
    return Refused(
        "no_room",
        "There is no room left on the server. Nothing was kept; tell your operator, and try again "
        "when there is.",
        507,
    )


def storage_unavailable() -> Refused:
    """Of an upload."""
    return Refused(
        "storage_unavailable",
        "The file could not be stored just now. Nothing was kept; please try again in a moment.",
        503,
    )


def content_unavailable() -> Refused:
    """Of a stored file."""
    return Refused(
        "storage_unavailable",
        "The file storage does not answer just now; please try again in a moment.",
        503,
    )
