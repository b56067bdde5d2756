"""The JSON API of knowledge bases and documents; lumikb/api.py mounts it under /api/v1/."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from ninja import Field, File, Form, Header, ModelSchema, Query, Router, Schema
from ninja.files import UploadedFile
from ninja.responses import Status as Reply
from pydantic import ConfigDict

from formats.unread import sentence

from . import audit, lifecycle, limits, refusals, removal, selection, tags, uploads
from .downloads import original
from .forms import AboutForm, KnowledgeBaseForm
from .idempotency import KeyTaken, Once
from .listing import Asked, Pages, Place
from .models import Document, DocumentEvent, KnowledgeBase, Status
from .moving import move
from .permissions import (
    document_for,
    editable_document,
    editable_knowledge_base,
    knowledge_base_for,
    owned_knowledge_base,
    require_all_rights,
)
from .problems import problems
from .waiting import LONGEST, until_finished

router = Router()
PAGE_SIZE = 50
FURTHEST = 1_000_000_000  # rows that are passed over, where nobody knows how many there are

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


Wait = Query(
    0,
    ge=0,
    le=LONGEST,
    description="Answer when it is READY or FAILED, or after so many seconds;"
    " at once where others wait already: `status` says which.",
)

# `file` may be missing, so that a sentence of ours says what to do; it is not optional.
NEEDS_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": {"required": ["file"]}}},
    }
}


class KnowledgeBaseIn(Schema):
    model_config = ConfigDict(extra="forbid")

    name: str
    slug: str = Field(
        "", description="What the slug is to begin with, if not with the name; its end is random."
    )


class KnowledgeBaseChange(Schema):
    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    description: str | None = None


class KnowledgeBaseOut(ModelSchema):
    class Meta:
        model = KnowledgeBase
        fields = ["name", "description", "slug", "created_at"]


class UnreadOut(Schema):
    """Something in the file that was not read."""

    kind: str
    place: str
    count: int
    sentence: str


class DocumentOut(ModelSchema):
    id: UUID
    tags: list[str]
    status: Status
    knowledge_base: str
    unread: list[UnreadOut]
    replaces: UUID | None
    explain: str

    class Meta:
        model = Document
        fields = [
            "id", "filename", "tags", "content_type", "size", "sha256",
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
    more: bool
    page: int
    pages: int
    next: str | None


class DocumentChange(Schema):
    model_config = ConfigDict(extra="forbid")

    filename: str | None = None
    tags: list[str] | None = None
    knowledge_base: str | None = Field(None, description="the slug of the one it is moved to")


class BulkIn(Schema):
    model_config = ConfigDict(extra="forbid")

    action: Literal["requeue", "delete", "restore", "move", "tag", "untag"]
    ids: list[UUID] = Field(max_length=1000)
    tags: list[str] = Field([], description="for tag and untag")
    knowledge_base: str = Field("", description="for move: the slug of the one they are moved to")


class BulkOut(Schema):
    done: int = Field(description="those that were changed")
    asked: int


class StatesIn(Schema):
    model_config = ConfigDict(extra="forbid")

    ids: list[UUID] = Field(max_length=500)


class StateOut(Schema):
    id: UUID
    status: str
    progress_count: int
    progress_total: int
    explain: str

    @staticmethod
    def resolve_explain(document: Document) -> str:
        """Without its place in the queue, which costs a look at the queue for each."""
        if document.status == Status.PENDING and not document.waiting_for and not document.turns:
            return "Waiting in the queue."
        return document.explain()


class EventOut(Schema):
    kind: str
    detail: str
    by: str | None
    created_at: datetime

    @staticmethod
    def resolve_by(event: DocumentEvent) -> str | None:
        return event.by.get_username() if event.by else None


@router.get("knowledge-bases", response={200: list[KnowledgeBaseOut], **problems()})
def list_knowledge_bases(
    request: HttpRequest,
    q: str = Query("", description="a part of the name"),
    page: int = Query(1, ge=1, le=1_000_000_000),
    limit: int | None = Query(None, ge=1, le=500, description="all of them without one"),
) -> Any:
    """By name. A page beyond the last one is empty."""
    found = KnowledgeBase.objects.visible_to(request.user).called(q)
    if limit is None:
        return list(found) if page == 1 else []
    return list(found[(page - 1) * limit : page * limit])


@router.post("knowledge-bases", response={201: KnowledgeBaseOut, **problems(403)})
def create_knowledge_base(
    request: HttpRequest, data: KnowledgeBaseIn, idempotency_key: IdempotencyKey = ""
) -> Any:
    """Its owner is the caller. The answer says its slug, of which no other can be the same."""
    require_all_rights(request.user)
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


@router.patch("knowledge-bases/{slug}", response={200: KnowledgeBaseOut, **problems(404)})
def change_knowledge_base(request: HttpRequest, slug: str, data: KnowledgeBaseChange) -> Any:
    """Rename or describe it; an owner may. Its slug stays."""
    knowledge_base = owned_knowledge_base(request.user, slug)
    now = {"name": knowledge_base.name, "description": knowledge_base.description}
    form = AboutForm(now | data.dict(exclude_none=True), instance=knowledge_base)
    if not form.is_valid():
        raise refusals.Refused(
            "invalid_knowledge_base",
            "A knowledge base has a name of 100 characters and a description of 500 at most.",
            400,
            form.errors.get_json_data(),
        )
    return form.save_for(request.user)


@router.delete("knowledge-bases/{slug}", response={204: None, **problems(404)})
def delete_knowledge_base(request: HttpRequest, slug: str) -> Any:
    """Delete it with all its documents, members, invitations and tokens; an owner may.

    It is gone at once, for everybody and for good. What was stored is removed in the background.
    """
    removal.delete(owned_knowledge_base(request.user, slug), request.user)
    return Reply(204, None)


@router.get("knowledge-bases/{slug}/documents", response={200: DocumentPage, **problems(404)})
def list_documents(
    request: HttpRequest,
    slug: str,
    status: Literal[
        "", "pending", "processing", "ready", "failed", "partly_read", "stuck", "deleted"
    ] = "",
    q: str = "",
    tag: str = "",
    filename: str = Query("", description="the whole name"),
    sha256: str = Query("", description="of the file's content"),
    sort: Literal["-created_at", "created_at", "filename", "-filename"] = "-created_at",
    page: int = Query(1, ge=1),
    limit: int | None = Query(None, ge=1, le=500, description="50 without one"),
    cursor: str = Query("", description="`next` of the answer before: who walks through all"),
) -> Any:
    """Newest first; all that are live without a `status`. A page beyond the last one is empty.

    `count` stops at 1,000 where the list is searched (`q`, `filename`, `sha256`, `tag`, `stuck`)
    and then `more` is true. However far it is, the page of a `cursor` costs what the first one
    does, and nothing is twice in it or left out because others come or go meanwhile.
    """
    knowledge_base = knowledge_base_for(request.user, slug)
    place = Place.read(cursor) if cursor else None
    if cursor and place is None:
        raise refusals.Refused("invalid_cursor", "This is not what an answer's `next` was.", 422)
    limit = limit or PAGE_SIZE
    asked = Asked(status, q, filename, sha256, place.sort if place else sort, tag)
    pages = Pages.of(knowledge_base, limit, asked)
    if place:
        rows = place.behind(pages.documents)[: limit + 1].explained_page()
    elif (page - 1) * limit < (FURTHEST if pages.has_more else pages.count):
        rows = pages.rows((page - 1) * limit, limit + 1)
    else:
        rows = []
    return {
        "results": rows[:limit],
        "count": pages.count,
        "more": pages.has_more,
        "page": page,
        "pages": pages.num_pages,
        "next": Place.of(rows[limit - 1], asked.sort).text if len(rows) > limit else None,
    }


@router.post(
    "knowledge-bases/{slug}/documents",
    response={201: AcceptedOut, **problems(404, 409, 413, 415, 429)},
    openapi_extra=NEEDS_FILE,
)
def upload_document(
    request: HttpRequest,
    slug: str,
    file: File[UploadedFile | None] = None,
    tags: str = Form("", description="between commas"),
    idempotency_key: IdempotencyKey = "",
    wait: int = Wait,
) -> Any:
    """Store a file. It is processed soon; `status` says when it is ready.

    409 says in its `details` which document has the name, its `sha256`, and whether it is the
    `same_content`.
    """
    knowledge_base = editable_knowledge_base(request.user, slug)
    sent = uploads.file_from(request)
    document = uploads.accept(sent, knowledge_base, request.user, idempotency_key, words=tags)
    return Reply(201, _waited_for(document, request.user, wait))


def _waited_for(document: Document, user: Any, seconds: int) -> Document:
    if not seconds:
        return document
    until_finished(document.pk, seconds)
    return document_for(user, document.pk)


@router.get("documents/{document_id}", response={200: DocumentOut, **problems(404)})
def get_document(request: HttpRequest, document_id: UUID, wait: int = Wait) -> Any:
    return _waited_for(document_for(request.user, document_id), request.user, wait)


@router.get("documents/{document_id}/events", response={200: list[EventOut], **problems(404)})
def list_events(request: HttpRequest, document_id: UUID) -> Any:
    """The timeline, oldest first."""
    return list(document_for(request.user, document_id).events.select_related("by"))


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
    if request.META["REQUEST_METHOD"] == "GET":  # and not HEAD, which carries nothing away
        audit.record(audit.Action.DOWNLOADED, request.user, document)
    return response


@router.patch("documents/{document_id}", response={200: DocumentOut, **problems(404, 409)})
def change_document(request: HttpRequest, document_id: UUID, data: DocumentChange) -> Any:
    """Move, rename or tag it: all of it, or nothing. One that is ready is processed anew under its
    new name, and is found under the old one until then.
    """
    document = editable_document(request.user, document_id)
    words = None if data.tags is None else tags.clean(data.tags)
    to = data.knowledge_base
    target = None if to is None else editable_knowledge_base(request.user, to)
    with transaction.atomic():
        is_taken = target is not None and lifecycle.namesake(target.pk, document.filename)
        if is_taken and data.filename is not None:  # renamed first
            uploads.rename(document, request.user, data.filename)
            document.refresh_from_db()
        if target is not None:
            move(document, target, request.user)
            document.refresh_from_db()
        if data.filename is not None:
            uploads.rename(document, request.user, data.filename)
        if words is not None:
            tags.put(document, words, request.user)
    return document_for(request.user, document_id)


@router.post("knowledge-bases/{slug}/documents/bulk", response={200: BulkOut, **problems(404, 409)})
def change_documents(request: HttpRequest, slug: str, data: BulkIn) -> Any:
    """Do one thing to many documents of a knowledge base; others' ids are passed over."""
    knowledge_base = editable_knowledge_base(request.user, slug)
    known = knowledge_base.document_set.filter(pk__in=data.ids, purging_at=None)
    ids = list(known.values_list("pk", flat=True))
    if data.action == "move" and not data.knowledge_base:
        message = "Say to where in `knowledge_base`, by its slug."
        raise refusals.Refused("invalid_request", message, 400)
    for name, actions in (("tags", ("tag", "untag")), ("knowledge_base", ("move",))):
        if getattr(data, name) and data.action not in actions:
            message = f"`{name}` is for {' and '.join(actions)} only; leave it out."
            raise refusals.Refused("invalid_request", message, 400)
    values = {"tags": data.tags, "to": data.knowledge_base}
    done, _ = selection.act(data.action, ids, request.user, values)
    return {"done": done, "asked": len(data.ids)}


@router.post(
    "knowledge-bases/{slug}/documents/states", response={200: list[StateOut], **problems(404)}
)
def list_states(request: HttpRequest, slug: str, data: StatesIn) -> Any:
    """How far some documents are; those that are deleted, or not in here, are left out."""
    documents = knowledge_base_for(request.user, slug).document_set.live()
    return list(documents.filter(pk__in=data.ids))


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
        restored = limits.restore(document.pk, request.user)
    except lifecycle.DuplicateFilename as error:
        raise refusals.duplicate_filename(error, document.filename, document.sha256) from error
    if not restored:
        raise refusals.Refused("not_deleted", "Only a deleted document can be restored.", 409)
    return document_for(request.user, document_id)


@router.put(
    "documents/{document_id}/file",
    response={201: AcceptedOut, **problems(404, 409, 413, 415, 429)},
    openapi_extra=NEEDS_FILE,
)
def replace_document(
    request: HttpRequest,
    document_id: UUID,
    file: File[UploadedFile | None] = None,
    idempotency_key: IdempotencyKey = "",
    wait: int = Wait,
) -> Any:
    """Put a new file in a document's place. What search finds of it stays until that is ready."""
    old = editable_document(request.user, document_id)
    sent = uploads.file_from(request)
    document = uploads.replace(sent, old, request.user, idempotency_key)
    return Reply(201, _waited_for(document, request.user, wait))
