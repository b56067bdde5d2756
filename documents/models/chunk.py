"""A passage of a document."""

import uuid
from typing import Self

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import F
from django.urls import reverse

from .document import Document


class ChunkQuerySet(models.QuerySet["Chunk"]):
    def current(self) -> Self:
        """Those that search shows: not those of a reading that is under way, or over."""
        return self.filter(reading=F("document__chunk_reading"))


class Chunk(models.Model):
    """A passage of a document: what search finds and cites.

    Its id is made from the document and the position, and is also the point's id in Qdrant. It is
    unique among the `current` ones; to the database, together with the reading.
    `extracted text[start:end] == text`; `page` counts from 1 (a slide in a presentation). `context`
    is what it needs to be understood and does not say itself.
    """

    id = models.UUIDField(primary_key=True)
    document = models.ForeignKey(Document, on_delete=models.CASCADE)
    reading = models.PositiveIntegerField(
        default=0, db_default=0, help_text="the epoch in which the reading began"
    )
    position = models.PositiveIntegerField()
    text = models.TextField()
    page = models.PositiveIntegerField(null=True)
    heading = models.TextField(blank=True)
    context = models.TextField(
        blank=True, db_default="", help_text="column names, the row that goes on"
    )
    recognised = models.BooleanField(db_default=False, help_text="read from a picture")
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    language = models.CharField(max_length=3, blank=True, db_default="", help_text="of its stems")
    words = SearchVectorField(null=True, help_text="as they are written: what phrases are found in")

    objects = ChunkQuerySet.as_manager()

    class Meta:
        ordering = ["document", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["document", "reading", "position"], name="one_chunk_per_position"
            )
        ]
        # search/retrieval.py: an exact phrase, however rare it is.
        indexes = [GinIndex(fields=["words"], name="chunk_words")]

    def __str__(self) -> str:
        return f"{self.document_id} #{self.position}"

    def get_absolute_url(self) -> str:
        return reverse("passage", args=[self.pk])

    def in_context(self) -> str:
        """What is indexed: the passage below its heading and its context."""
        return "\n".join(filter(None, (self.surroundings(), self.text)))

    def surroundings(self) -> str:
        """The heading and the context, which are embedded with the text as far as there is room."""
        return "\n".join(filter(None, (self.heading, self.context)))

    @staticmethod
    def id_for(document_id: uuid.UUID, position: int) -> uuid.UUID:
        return uuid.uuid5(document_id, str(position))
