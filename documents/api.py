"""The JSON API of knowledge bases and documents; lumikb/api.py mounts it under /api/v1/."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from ninja import Field, File, Header, ModelSchema, Query, Router, Schema
from ninja.files import UploadedFile
from ninja.responses import Status as Reply
from pydantic import ConfigDict

from formats.unread import sentence

from . import audit, lifecycle, refusals, uploads
from .downloads import original
from .forms import KnowledgeBaseForm
from .idempotency import KeyTaken, Once
from .listing import Pages
from .models import Document, DocumentEvent, KnowledgeBase, Status
from .permissions import (
    document_for,
    editable_document,
    editable_knowledge_base,
    knowledge_base_for,
)
from .problems import problems

router = Router()
PAGE_SIZE = 50

IdempotencyKey = Annotated[
    str,
    Header(
        "",
        alias="Idempotency-Key",
        max_length=255,
        pattern=r"^[ -~]*$",
        description="Sent again with the same key within 24 hours (IDEMPOTENCY_HOURS), the same "
        "request answers what its first one made and does nothing more; another one is 422.",
    ),
]


class KnowledgeBaseIn(Schema):
    model_config = ConfigDict(extra="forbid")

    name: str
    slug: str = Field(
        "", description="What the slug is to begin with, if not with the name; its end is random."
    )


class KnowledgeBaseOut(ModelSchema):
    class Meta:
        model = KnowledgeBase
        fields = ["name", "slug", "created_at"]


class UnreadOut(Schema):
    """Something in the file that was not read."""

    kind: str
    place: str
    count: int
    sentence: str


class DocumentOut(ModelSchema):
    knowledge_base: str
    unread: list[UnreadOut]
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

    @staticmethod
    def resolve_unread(document: Document) -> list[dict[str, Any]]:
        return [entry | {"sentence": sentence(**entry)} for entry in document.unread]


class AcceptedOut(DocumentOut):
    """What an upload is answered with: how long the queue is, only who asks later is told."""

    @staticmethod
    def resolve_explain(document: Document) -> str:
        if document.status != Status.PENDING or document.lease_epoch or document.deleted_at:
            return document.explain()  # the same request has come before
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


@router.get("knowledge-bases", response={200: list[KnowledgeBaseOut], **problems()})
def list_knowledge_bases(request: HttpRequest) -> Any:
    return KnowledgeBase.objects.visible_to(request.user)


@router.post("knowledge-bases", response={201: KnowledgeBaseOut, **problems()})
def create_knowledge_base(
    request: HttpRequest, data: KnowledgeBaseIn, idempotency_key: IdempotencyKey = ""
) -> Any:
    """Its owner is the caller. The answer says its slug, of which no other can be the same."""
    form = KnowledgeBaseForm(data.dict())
    if not form.is_valid():
        raise refusals.Refused(
            "invalid_knowledge_base",
            "A knowledge base needs a name of 100 characters at most.",
            400,
            form.errors.get_json_data(),
        )
    if not idempotency_key:
        return Reply(201, form.save_for(request.user))
    once = Once(request.user, idempotency_key, ("knowledge base", data.name, data.slug))
    made = once.made()
    if made is None:
        try:
            with transaction.atomic():
                knowledge_base = form.save_for(request.user)
                once.remember(knowledge_base.slug)
            return Reply(201, knowledge_base)
        except KeyTaken:
            made = once.made()
    return Reply(201, knowledge_base_for(request.user, made or ""))


@router.get("knowledge-bases/{slug}", response={200: KnowledgeBaseOut, **problems(404)})
def get_knowledge_base(request: HttpRequest, slug: str) -> Any:
    return knowledge_base_for(request.user, slug)


@router.get("knowledge-bases/{slug}/documents", response={200: DocumentPage, **problems(404)})
def list_documents(
    request: HttpRequest,
    slug: str,
    status: Literal[
        "", "pending", "processing", "ready", "failed", "partly_read", "stuck", "deleted"
    ] = "",
    q: str = "",
    page: int = Query(1, ge=1),
) -> Any:
    """Newest first; all that are live without a `status`. A page beyond the last one is empty."""
    found = knowledge_base_for(request.user, slug).document_set.matching(status, q)
    pages = Pages(found, PAGE_SIZE)
    return {
        "results": list(pages.page(page)) if page <= pages.num_pages else [],
        "count": pages.count,
        "page": page,
        "pages": pages.num_pages,
    }


@router.post(
    "knowledge-bases/{slug}/documents",
    response={201: AcceptedOut, **problems(404, 409, 413, 415)},
)
def upload_document(
    request: HttpRequest,
    slug: str,
    file: File[UploadedFile | None] = None,
    idempotency_key: IdempotencyKey = "",
) -> Any:
    """Store a file. It is processed soon; `status` says when it is ready.

    409 says in its `details` which document has the name, its `sha256`, and whether it is the
    `same_content`.
    """
    knowledge_base = editable_knowledge_base(request.user, slug)
    sent = uploads.file_from(request)
    return Reply(201, uploads.accept(sent, knowledge_base, request.user, idempotency_key))


@router.get("documents/{document_id}", response={200: DocumentOut, **problems(404)})
def get_document(request: HttpRequest, document_id: UUID) -> Any:
    return document_for(request.user, document_id)


@router.get("documents/{document_id}/events", response={200: list[EventOut], **problems(404)})
def list_events(request: HttpRequest, document_id: UUID) -> Any:
    """The timeline, oldest first."""
    return document_for(request.user, document_id).events.select_related("by")


@router.get(
    "documents/{document_id}/content",
    response={200: None, **problems(404, 410)},
    openapi_extra={
        "responses": {
            200: {
                "content": {
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
                }
            }
        }
    },
)
def get_content(request: HttpRequest, document_id: UUID) -> HttpResponseBase:
    """The original file."""
    document = document_for(request.user, document_id)
    response = original(document)
    audit.record(audit.Action.DOWNLOADED, request.user, document)
    return response


@router.delete("documents/{document_id}", response={204: None, **problems(404)})
def delete_document(request: HttpRequest, document_id: UUID) -> Any:
    """Deleted documents are found no more, and can be restored until they are purged."""
    document = editable_document(request.user, document_id)
    lifecycle.soft_delete(document.pk, request.user)
    return Reply(204, None)


@router.post("documents/{document_id}/requeue", response={202: DocumentOut, **problems(404, 409)})
def requeue_document(request: HttpRequest, document_id: UUID) -> Any:
    """Process a READY or FAILED document anew."""
    document = editable_document(request.user, document_id)
    if not lifecycle.requeue(document.pk, request.user):
        raise refusals.Refused(
            "not_requeueable", "Only a ready or failed document can be requeued.", 409
        )
    return Reply(202, document_for(request.user, document_id))


@router.post("documents/{document_id}/restore", response={200: DocumentOut, **problems(404, 409)})
def restore_document(request: HttpRequest, document_id: UUID) -> Any:
    """Bring back a deleted or replaced document that is not purged yet."""
    document = editable_document(request.user, document_id)
    try:
        restored = lifecycle.restore(document.pk, request.user)
    except lifecycle.DuplicateFilename as error:
        raise refusals.duplicate_filename(error, document.filename, document.sha256) from error
    if not restored:
        raise refusals.Refused("not_deleted", "Only a deleted document can be restored.", 409)
    return document_for(request.user, document_id)


@router.put(
    "documents/{document_id}/file",
    response={201: AcceptedOut, **problems(404, 409, 413, 415)},
)
def replace_document(
    request: HttpRequest,
    document_id: UUID,
    file: File[UploadedFile | None] = None,
    idempotency_key: IdempotencyKey = "",
) -> Any:
    """Put a new file in a document's place. What search finds of it stays until that is ready."""
    old = editable_document(request.user, document_id)
    sent = uploads.file_from(request)
    return Reply(201, uploads.replace(sent, old, request.user, idempotency_key))
