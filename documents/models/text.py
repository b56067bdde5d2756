"""Where the extracted text of a long document is kept."""

from django.db import models

from .document import Document


class TextPart(models.Model):
    """Characters `[start, end)` of a document's text, an object of its own in storage.

    The parts of one `reading` follow each other without a gap; the reading has the number of the
    epoch in which it began. A short text has no parts: see `documents/texts.py`.
    """

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="text_parts")
    reading = models.PositiveIntegerField()
    number = models.PositiveIntegerField(help_text="from 0")
    epoch = models.PositiveIntegerField(help_text="of the worker that stored it: in its key")
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()

    class Meta:
        ordering = ["document", "reading", "number"]
        constraints = [
            models.UniqueConstraint(
                fields=["document", "reading", "number"], name="one_text_part_per_number"
            )
        ]

    def __str__(self) -> str:
        return f"{self.document_id} [{self.start}, {self.end})"

    @property
    def name(self) -> str:
        """Of its object, below the document's `storage_prefix`."""
        return f"text-{self.epoch}-{self.number}"
