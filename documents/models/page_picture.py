"""A page of a document as it looks."""

from django.db import models
from django.db.models.functions import Now

from .document import Document


class PagePicture(models.Model):
    """A page that somebody wants to see: asked for, drawn, or why not. The picture is an object of
    its own in storage; where passages stand on it is here. documents/pictures.py says what happens.

    It belongs to a reading, as the passages do: the number of the epoch in which that began.
    """

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="page_pictures")
    reading = models.PositiveIntegerField()
    page = models.PositiveIntegerField(help_text="from 1")
    created_at = models.DateTimeField(db_default=Now())
    asked_at = models.DateTimeField(null=True, help_text="its last message")
    begun_at = models.DateTimeField(null=True, help_text="the last time that a worker began")
    tries = models.PositiveSmallIntegerField(default=0, help_text="counted when a worker begins")
    drawn_at = models.DateTimeField(null=True)
    failure = models.CharField(max_length=300, blank=True, help_text="a sentence for people")
    width = models.PositiveIntegerField(default=0, help_text="pixels")
    height = models.PositiveIntegerField(default=0)
    pages = models.PositiveIntegerField(default=0, help_text="that the file has")
    matrix = models.JSONField(
        default=list, help_text="from where rectangles are to the picture, whose sides are 1"
    )
    rectangles = models.JSONField(
        default=dict, help_text="left, bottom, width, height of each, by the passage's position"
    )

    class Meta:
        constraints = [
            # Decides between two who ask at once: pictures.ask.
            models.UniqueConstraint(
                fields=["document", "reading", "page"], name="one_picture_per_page"
            )
        ]

    def __str__(self) -> str:
        return f"{self.document_id} page {self.page}"

    @property
    def transform(self) -> str:
        """From where rectangles are to the pixels of the picture, as SVG writes it."""
        return f"scale({self.width} {self.height}) matrix({' '.join(map(str, self.matrix))})"

    @property
    def key(self) -> str:
        return f"{self.document.storage_prefix}/page-{self.reading}-{self.page}"
