"""`Idempotency-Key`: a request that is sent again, because its answer was lost, does nothing twice.

A key belongs to its user and to one request: what is asked for and the bytes that come with it. It
is written in the transaction that does what was asked, so there is a key if and only if that was
done; of two at once one waits for the other's commit. A request that was refused is none.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError

from .models import IdempotencyKey
from .refusals import Refused

CONSTRAINT = "one_request_per_idempotency_key"


class KeyTaken(Exception):
    """Another request has just been done with this key."""


@dataclass(frozen=True, slots=True)
class Once:
    """A user's request with a key; `request` is all that makes it another one."""

    user: Any
    key: str
    request: tuple[str, ...]

    def made(self) -> str | None:
        """The id of what this request made when it came first; None when it is the first.

        Raises Refused when the key came with another request.
        """
        known = IdempotencyKey.objects.kept().filter(user=self.user, key=self.key).first()
        if known is None:
            return None
        if known.fingerprint != self._fingerprint():
            raise Refused(
                "idempotency_key_reused",
                "This Idempotency-Key came with another request before; send a new one.",
                422,
            )
        return known.made

    def remember(self, made: object) -> None:
        """In the transaction that made it. Raises KeyTaken."""
        IdempotencyKey.objects.over().filter(user=self.user, key=self.key).delete()
        row = IdempotencyKey(
            user=self.user, key=self.key, fingerprint=self._fingerprint(), made=str(made)
        )
        try:
            row.save(force_insert=True)
        except IntegrityError as error:
            diagnostics = getattr(error.__cause__, "diag", None)
            if diagnostics and diagnostics.constraint_name == CONSTRAINT:
                raise KeyTaken from error
            raise

    def _fingerprint(self) -> str:
        return hashlib.sha256("\0".join(self.request).encode(errors="replace")).hexdigest()
