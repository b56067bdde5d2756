"""Which index is read and which are written: one serves, and another may be filled beside it.

What is asked here is asked for each search and each batch of passages, so the answer is kept for a
second. A process that has not heard of a switch yet reads the index before it, which is whole.
"""

import hashlib
import re
import time
from dataclasses import astuple, dataclass

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from documents.connections import release
from documents.models import Generation

from . import terms
from .model import Model, configured

KEPT_SECONDS = 1.0
SERVING, FILLING = Generation.State.SERVING, Generation.State.FILLING


@dataclass(frozen=True, slots=True)
class Index:
    """A collection of Qdrant, and the model that its vectors are of."""

    collection: str
    model: Model
    words: int


def wanted() -> Index:
    """What the settings and this version ask for, under the name that a first index has."""
    model = configured()
    return Index(first_name(model), model, terms.VERSION)


def first_name(model: Model) -> str:
    """Of a collection, by the model alone: as version 0.2 had it."""
    name = re.sub(r"[^a-z0-9]+", "-", model.name.rsplit("/", 1)[-1].lower())
    return f"{settings.QDRANT_COLLECTION_PREFIX}-{name}-{model.dimensions}"


def serving() -> Index:
    """What search reads; what is wanted as long as there is nothing to be read. A search asks once:
    it must not compare the vector of one model with those of another.
    """
    return _known()[0]


def written() -> list[Index]:
    """Where passages go: what search reads, then what is being filled, if any."""
    return _known()


def known() -> set[str]:
    """The collections that are ours for certain: what is written, and what was before."""
    rows = Generation.objects.values_list("collection", flat=True)
    return {*rows, *(index.collection for index in written())}


def establish() -> None:
    """What is wanted serves, if nothing does yet: the first passage is about to be written."""
    if _is_established():
        return
    try:
        with transaction.atomic():
            Generation.objects.create(state=SERVING, **fields_of(wanted()))
    except IntegrityError:
        pass  # another worker's first passage was first
    forget()
    release()


def is_wanted(generation: Generation) -> bool:
    """Whether it is made as the settings and this version ask for; its name may be another."""
    one, other = index_of(generation), wanted()
    return (one.model, one.words) == (other.model, other.words)


def next_name() -> str:
    """A name for a collection of what is wanted that is no other's."""
    made = repr((astuple(configured()), terms.VERSION, time.time()))
    return f"{wanted().collection}-{hashlib.sha256(made.encode()).hexdigest()[:8]}"


def index_of(generation: Generation) -> Index:
    model = Model(
        generation.model,
        generation.dimensions,
        generation.query_prefix,
        generation.passage_prefix,
    )
    return Index(generation.collection, model, generation.words)


def fields_of(index: Index) -> dict[str, object]:
    """The columns of a `Generation` that say how it is made."""
    return {
        "collection": index.collection,
        "model": index.model.name,
        "dimensions": index.model.dimensions,
        "query_prefix": index.model.query_prefix,
        "passage_prefix": index.model.passage_prefix,
        "words": index.words,
    }


def forget() -> None:
    """Ask again the next time."""
    _kept.clear()


_kept: dict[tuple[str, Index], tuple[float, list[Index], bool]] = {}
"""By database and wish: until when it is kept, what is written, and whether a row says so."""


def _known() -> list[Index]:
    return _asked()[1]


def _is_established() -> bool:
    return _asked()[2]


def _asked() -> tuple[float, list[Index], bool]:
    key = connection.settings_dict["NAME"], wanted()
    kept = _kept.get(key)
    if kept is None or time.monotonic() > kept[0]:
        states = [SERVING, FILLING]
        rows = {each.state: each for each in Generation.objects.filter(state__in=states)}
        release()
        known = [index_of(rows[SERVING]) if SERVING in rows else wanted()]
        if FILLING in rows:
            known.append(index_of(rows[FILLING]))
        kept = (time.monotonic() + KEPT_SECONDS, known, SERVING in rows)
        _kept.clear()
        _kept[key] = kept
    return kept
