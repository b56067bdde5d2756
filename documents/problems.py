"""What can go wrong in the API, for its description: every error has this one form."""

from typing import Any

from ninja import Schema

# Whatever is asked: not understood, not known who asks, a key or parameter that is not known, our
# own fault, the database is away. 403 and 405: a browser without its CSRF token; a wrong method.
EVERYWHERE = (400, 401, 422, 500, 503)


class Problem(Schema):
    """`code` is stable; `message` is a sentence for a person; `details` depend on the code."""

    code: str
    message: str
    details: dict[str, Any]


class ProblemOut(Schema):
    error: Problem


def problems(*statuses: int) -> dict[int, type[ProblemOut]]:
    """The responses of an operation beside its success: these, and what may happen anywhere."""
    return dict.fromkeys(sorted({*EVERYWHERE, *statuses}), ProblemOut)
