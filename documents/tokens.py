"""API tokens are made and revoked; the audit has who did it, and never a secret."""

from typing import Any

from django.db import transaction
from django.http import Http404

from . import audit
from .models import ApiToken


def make(user: Any, name: str, by: Any, **limits: Any) -> str:
    """One of `user`, made by him or by nobody that we know; returns its secret."""
    whose = "" if by else f" for “{user.get_username()}”, on the command line"
    with transaction.atomic():
        audit.record(audit.Action.CHANGED, by, what=f"token {name}", detail=f"made{whose}")
        return ApiToken.issue(user, name, **limits)


def revoke(user: Any, token_id: int) -> str:
    """One of his own; returns its name. Raises Http404."""
    with transaction.atomic():
        token = ApiToken.objects.select_for_update().filter(user=user.pk, pk=token_id).first()
        if token is None:
            raise Http404
        token.delete()
        audit.record(audit.Action.CHANGED, user, what=f"token {token.name}", detail="revoked")
    return token.name
