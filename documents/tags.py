"""Words that people put on documents, to find them by: `tag:` in the list and in search."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db.models import F, Func, IntegerField, Value
from django.db.models.lookups import LessThanOrEqual

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
        if len(tag) > LONGEST or not tag.isprintable() or "," in tag:
            message = f"A tag has up to {LONGEST} characters, and no comma."
            raise Refused("invalid_tag", message, 400, {"tag": tag[:LONGEST]})
    if len(tags) > MOST:
        raise Refused("too_many_tags", f"A document has up to {MOST} tags.", 400)
    return tags


def put(document: Document, tags: Collection[str]) -> None:
    """These, and no others. Raises Refused."""
    document.tags = clean(tags)
    Document.objects.filter(pk=document.pk).update(tags=document.tags)


def add(document_ids: Collection[UUID], tags: list[str]) -> int:
    """To those that have room for them; returns how many."""
    chosen = Document.objects.live().filter(pk__in=document_ids)
    room = LessThanOrEqual(_Cardinality("tags"), MOST - len(tags))
    return chosen.filter(room).update(
        tags=Func(F("tags"), _array(tags), template=_TOGETHER, arg_joiner=" || ")
    )


def remove(document_ids: Collection[UUID], tags: list[str]) -> int:
    """From those that have one of them; returns how many."""
    chosen = Document.objects.live().filter(pk__in=document_ids, tags__overlap=tags)
    return chosen.update(tags=Func(_array(tags), template=_LEFT))


class _Cardinality(Func):
    function = "CARDINALITY"
    output_field = IntegerField()


def _array(tags: list[str]) -> Any:
    return Value(tags, output_field=Document._meta.get_field("tags"))
