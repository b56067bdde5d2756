"""Words that people put on documents, to find them by: `tag:` in the list and in search."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Func, IntegerField, Value
from django.db.models.lookups import LessThanOrEqual

from . import audit
from .filetypes import visible
from .models import Document
from .models.querysets import tidy_tag
from .refusals import Refused

MOST = 20  # of a document
LONGEST = 100  # characters: a folder's path may be one

_TOGETHER = "ARRAY(SELECT DISTINCT unnest(%(expressions)s) ORDER BY 1)"  # as `clean` has them
_LEFT = "ARRAY(SELECT each FROM unnest(tags) AS each WHERE NOT each = ANY(%(expressions)s))"


def clean(words: str | Collection[str]) -> list[str]:
    """As they are kept: lower case, sorted, each once; a text has them between commas.

    Raises Refused.
    """
    given = words.split(",") if isinstance(words, str) else words
    tags = sorted({tidy_tag(each) for each in given} - {""})
    for tag in tags:
        if len(tag) > LONGEST or "," in tag or visible(tag) != tag:
            message = f"A tag has up to {LONGEST} characters that can be seen, and no comma."
            raise Refused("invalid_tag", message, 400, {"tag": tag[:LONGEST]})
    if len(tags) > MOST:
        raise Refused("too_many_tags", f"A document has up to {MOST} tags.", 400)
    return tags


def put(document: Document, tags: Collection[str], by: Any) -> None:
    """These, and no others. Raises Refused."""
    document.tags = clean(tags)
    others = Document.objects.filter(pk=document.pk).exclude(tags=document.tags)
    _change(others, document.tags, by, f"tags: {', '.join(document.tags) or 'none'}")


def add(document_ids: Collection[UUID], tags: list[str], by: Any) -> int:
    """To those that lack one of them, and have room for all; returns how many."""
    chosen = Document.objects.live().filter(pk__in=document_ids).exclude(tags__contains=tags)
    room = LessThanOrEqual(_Cardinality("tags"), MOST - len(tags))
    together = Func(F("tags"), _array(tags), template=_TOGETHER, arg_joiner=" || ")
    return _change(chosen.filter(room), together, by, f"tagged: {', '.join(tags)}")


def remove(document_ids: Collection[UUID], tags: list[str], by: Any) -> int:
    """From those that have one of them; returns how many."""
    chosen = Document.objects.live().filter(pk__in=document_ids, tags__overlap=tags)
    left = Func(_array(tags), template=_LEFT)
    return _change(chosen, left, by, f"untagged: {', '.join(tags)}")


def _change(documents: Any, tags: Any, by: Any, detail: str) -> int:
    with transaction.atomic():
        locked = documents.order_by("pk").select_for_update(no_key=True)
        changed = list(locked.only("filename", "knowledge_base"))
        Document.objects.filter(pk__in=[each.pk for each in changed]).update(tags=tags)
        audit.record_each(audit.Action.CHANGED, by, changed, detail)
    return len(changed)


class _Cardinality(Func):
    function = "CARDINALITY"
    output_field = IntegerField()


def _array(tags: list[str]) -> Any:
    return Value(tags, output_field=Document._meta.get_field("tags"))
