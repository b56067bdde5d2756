"""The JSON API of knowledge bases and documents; lumikb/api.py mounts it under /api/v1/."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponseBase
from ninja import File, ModelSchema, Query, Router, Schema
from ninja.files import UploadedFile
from ninja.responses import Status as Reply

from . import lifecycle, refusals, uploads
from .downloads import original
from .forms import KnowledgeBaseForm
from .models import Document, DocumentEvent, KnowledgeBase
from .permissions import (
    document_for,
    editable_document,
    editable_knowledge_base,
    knowledge_base_for,
)

router = Router()
PAGE_SIZE = 50


class KnowledgeBaseIn(Schema):
    name: str
    slug: str = ""


class KnowledgeBaseOut(ModelSchema):
    class Meta:
        model = KnowledgeBase
        fields = ["name", "slug", "created_at"]


class DocumentOut(ModelSchema):
    knowledge_base: str
    replaces: UUID | None
    explain: str

    class Meta:
        model = Document
        fields = [
            "id", "filename", "content_type", "size", "sha256",
            "status", "stage", "progress_count", "progress_total", "attempts", "due_at",
            "failure_code", "failure_message", "chunk_count", "indexed_at",
            "created_at", "progressed_at", "deleted_at",
        ]  # fmt: skip

    @staticmethod
    def resolve_knowledge_base(document: Document) -> str:
        return document.knowledge_base.slug

    @staticmethod
    def resolve_replaces(document: Document) -> UUID | None:
        return document.replaces_id

    @staticmethod
    def resolve_explain(document: Document) -> str:
        return document.explain()


class AcceptedOut(DocumentOut):
    """What an upload is answered with: how long the queue is, only who asks later is told."""

    @staticmethod
    def resolve_explain(document: Document) -> str:
        return "Stored; it waits for a worker."


class DocumentPage(Schema):
    results: list[DocumentOut]
    count: int
    page: int
    pages: int


class EventOut(Schema):
    kind: str
    detail: str
    by: str | None
    created_at: datetime

    @staticmethod
    def resolve_by(event: DocumentEvent) -> str | None:
        return event.by.get_username() if event.by else None


@router.get("knowledge-bases", response=list[KnowledgeBaseOut])
def list_knowledge_bases(request: HttpRequest) -> Any:
    return KnowledgeBase.objects.visible_to(request.user)


@router.post("knowledge-bases", response={201: KnowledgeBaseOut})
def create_knowledge_base(request: HttpRequest, data: KnowledgeBaseIn) -> Any:
    """Its owner is the caller. Without a slug, one is made from the name."""
    form = KnowledgeBaseForm(data.dict())
    if not form.is_valid():
        raise refusals.Refused(
            "invalid_knowledge_base",
            "A knowledge base needs a name, and a slug that no other has.",
            400,
            form.errors.get_json_data(),
        )
    return Reply(201, form.save_for(request.user))


@router.get("knowledge-bases/{slug}", response=KnowledgeBaseOut)
def get_knowledge_base(request: HttpRequest, slug: str) -> Any:
    return knowledge_base_for(request.user, slug)


@router.get("knowledge-bases/{slug}/documents", response=DocumentPage)
def list_documents(
    request: HttpRequest,
    slug: str,
    status: Literal["", "pending", "processing", "ready", "failed", "stuck", "deleted"] = "",
    q: str = "",
    page: int = Query(1, ge=1),
) -> Any:
    """Newest first; all that are live without a `status`."""
    found = knowledge_base_for(request.user, slug).document_set.matching(status, q)
    paginator = Paginator(found.explained().select_related("knowledge_base"), PAGE_SIZE)
    shown = paginator.get_page(page)
    return {
        "results": list(shown),
        "count": paginator.count,
        "page": shown.number,
        "pages": paginator.num_pages,
    }


@router.post("knowledge-bases/{slug}/documents", response={201: AcceptedOut})
def upload_document(request: HttpRequest, slug: str, file: File[UploadedFile | None] = None) -> Any:
    """Store a file. It is processed soon; `status` says when it is ready."""
    knowledge_base = editable_knowledge_base(request.user, slug)
    return Reply(201, uploads.accept(uploads.file_from(request), knowledge_base, request.user))


@router.get("documents/{document_id}", response=DocumentOut)
def get_document(request: HttpRequest, document_id: UUID) -> Any:
    return document_for(request.user, document_id)


@router.get("documents/{document_id}/events", response=list[EventOut])
def list_events(request: HttpRequest, document_id: UUID) -> Any:
    """The timeline, oldest first."""
    return document_for(request.user, document_id).events.select_related("by")


@router.get("documents/{document_id}/content")
def get_content(request: HttpRequest, document_id: UUID) -> HttpResponseBase:
    """The original file."""
    return original(document_for(request.user, document_id))


@router.delete("documents/{document_id}", response={204: None})
def delete_document(request: HttpRequest, document_id: UUID) -> Any:
    """Deleted documents are found no more, and can be restored until they are purged."""
    document = editable_document(request.user, document_id)
    lifecycle.soft_delete(document.pk, request.user)
    return Reply(204, None)


@router.post("documents/{document_id}/requeue", response={202: DocumentOut})
def requeue_document(request: HttpRequest, document_id: UUID) -> Any:
    """Process a READY or FAILED document anew."""
    document = editable_document(request.user, document_id)
    if not lifecycle.requeue(document.pk, request.user):
        raise refusals.Refused(
            "not_requeueable", "Only a ready or failed document can be requeued.", 409
        )
    return Reply(202, document_for(request.user, document_id))


@router.post("documents/{document_id}/restore", response=DocumentOut)
def restore_document(request: HttpRequest, document_id: UUID) -> Any:
    """Bring back a deleted or replaced document that is not purged yet."""
    document = editable_document(request.user, document_id)
    try:
        restored = lifecycle.restore(document.pk, request.user)
    except lifecycle.DuplicateFilename as error:
        raise refusals.duplicate_filename(error, document.filename) from error
    if not restored:
        raise refusals.Refused("not_deleted", "Only a deleted document can be restored.", 409)
    return document_for(request.user, document_id)


@router.put("documents/{document_id}/file", response={201: AcceptedOut})
def replace_document(
    request: HttpRequest, document_id: UUID, file: File[UploadedFile | None] = None
) -> Any:
    """Put a new file in a document's place; the old one stays searchable until the new is ready."""
    old = editable_document(request.user, document_id)
    return Reply(201, uploads.replace(uploads.file_from(request), old, request.user))
