"""What is done to the documents that somebody has ticked in the list."""

from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from . import audit, lifecycle, limits, tags
from .archive import archive
from .models import Document, KnowledgeBase
from .moving import move_all
from .permissions import editable_knowledge_base, knowledge_base_for, may_edit
from .refusals import Refused

MOST = 1000  # at once; a page of the list has fewer
TARGETS = 1000  # knowledge bases among which somebody chooses
UNDO = "undo"  # in the session: what was deleted last


@login_required
@require_POST
def selection(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Do `action` to the documents `id`: requeue, delete, restore, move, tag, untag or zip."""
    knowledge_base = knowledge_base_for(request.user, slug)
    action = request.POST.get("action", "")
    if action != "zip" and not may_edit(request.user, knowledge_base):
        raise Http404
    chosen = _chosen(knowledge_base, request.POST.getlist("id"))
    there = request.POST.get("next", "")
    back = redirect(f"{knowledge_base.get_absolute_url()}{there if there.startswith('?') else ''}")
    if not chosen:
        messages.info(request, "Choose documents first: tick the boxes before their names.")
        return back
    if action == "move" and not request.POST.get("to"):
        return _where_to(request, knowledge_base, chosen, there)
    try:
        if action == "zip":
            answer = archive(chosen, knowledge_base.name)
            for each in chosen:
                audit.record(audit.Action.DOWNLOADED, request.user, each)
            return answer
        done, what = act(action, [each.pk for each in chosen], request.user, request.POST)
    except Refused as refused:
        messages.error(request, str(refused))
        return back
    if action == "delete" and (live := [each for each in chosen if each.deleted_at is None]):
        request.session[UNDO] = [slug, [str(each.pk) for each in live]]
    messages.success(request, _sentence(done, len(chosen), what))
    return back


def act(action: str, ids: Collection[UUID], by: Any, values: Any) -> tuple[int, str]:
    """Do it; returns to how many, and what was done to them. Raises Refused, and Http404 for an
    action that there is not.
    """
    if action in ("tag", "untag"):
        words = tags.clean(values.get("tags", ""))
        if not words:
            raise Refused("invalid_tag", "Write a tag first.", 400)
        done = (tags.add if action == "tag" else tags.remove)(ids, words, by)
        return done, "tagged" if action == "tag" else "changed"
    if action == "move":
        to = editable_knowledge_base(by, values.get("to", ""))
        return len(move_all(ids, to, by)), f"moved to “{to.name}”"
    if action not in ACTIONS:
        raise Http404
    does, done_to = ACTIONS[action]
    return len(does(ids, by)), done_to


def undo_of(request: HttpRequest, knowledge_base: KnowledgeBase) -> list[str]:
    """The ids of what was deleted here just now; told once."""
    slug, ids = request.session.get(UNDO) or ("", [])
    if slug != knowledge_base.slug:
        return []
    del request.session[UNDO]
    return ids


ACTIONS: dict[str, tuple[Callable[[Collection[UUID], Any], list[UUID]], str]] = {
    "requeue": (lifecycle.requeue_all, "queued again"),
    "delete": (lifecycle.soft_delete_all, "deleted"),
    "restore": (limits.restore_all, "restored"),
}


def _where_to(
    request: HttpRequest, knowledge_base: KnowledgeBase, chosen: list[Document], there: str
) -> HttpResponse:
    others = KnowledgeBase.objects.editable_by(request.user).exclude(pk=knowledge_base.pk)
    context = {
        "knowledge_base": knowledge_base,
        "chosen": chosen,
        "targets": others[:TARGETS],
        "here": there,
    }
    return render(request, "documents/move.html", context)


def _chosen(knowledge_base: KnowledgeBase, ids: Collection[str]) -> list[Document]:
    """Those of them that are in this knowledge base, whatever else was sent."""
    known = []
    for each in list(ids)[:MOST]:
        try:
            known.append(UUID(each))
        except ValueError:
            continue
    return list(knowledge_base.document_set.filter(pk__in=known, purging_at=None))


def _sentence(done: int, wanted: int, what: str) -> str:
    documents = "1 document is" if done == 1 else f"{done} documents are"
    rest = wanted - done
    others = "" if not rest else f" {rest} could not be, or need not."
    return f"{documents} {what}.{others}"
