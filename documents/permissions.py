"""What a user may see and change. What may not be done is not there: 404, never 403."""

from typing import Any
from uuid import UUID

from django.http import Http404
from django.shortcuts import get_object_or_404

from . import limits
from .models import ApiToken, Document, KnowledgeBase, Membership
from .models.access import EDITING
from .refusals import Refused

MAY_EDIT = EDITING


def knowledge_base_for(user: Any, slug: str) -> KnowledgeBase:
    """Raises Http404."""
    return get_object_or_404(KnowledgeBase.objects.visible_to(user).named([slug]))


def document_for(user: Any, document_id: UUID) -> Document:
    """A visible document, deleted ones too until they are purged. Raises Http404."""
    visible = Document.objects.visible_to(user).filter(purging_at=None)
    return get_object_or_404(visible.select_related("knowledge_base"), pk=document_id)


def may_edit(user: Any, knowledge_base: KnowledgeBase) -> bool:
    return knowledge_base.role_of(user) in MAY_EDIT


def editable_knowledge_base(user: Any, slug: str) -> KnowledgeBase:
    """With its limits, and the user's. Raises Http404, for a viewer too."""
    visible = KnowledgeBase.objects.visible_to(user).named([slug])
    knowledge_base = get_object_or_404(limits.beside(visible, user))
    if not may_edit(user, knowledge_base):
        raise Http404
    return knowledge_base


def owned_knowledge_base(user: Any, slug: str) -> KnowledgeBase:
    """Raises Http404, for an editor and a viewer too."""
    knowledge_base = knowledge_base_for(user, slug)
    if knowledge_base.role_of(user) != Membership.Role.OWNER:
        raise Http404
    return knowledge_base


def require_all_rights(user: Any) -> None:
    """For what is of no knowledge base that there is. Raises Refused for a limited token."""
    token = ApiToken.used_by(user)
    if token and token.is_limited:
        limit = "may only read" if token.read_only else "is for one knowledge base only"
        raise Refused("limited_token", f"This token {limit}.", 403)


def editable_document(user: Any, document_id: UUID) -> Document:
    """Raises Http404, for a viewer too."""
    document = document_for(user, document_id)
    if not may_edit(user, document.knowledge_base):
        raise Http404
    return document
