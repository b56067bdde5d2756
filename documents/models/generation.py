"""Which index search reads, and which one is being filled beside it."""

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone


class Generation(models.Model):
    """One way to make an index: a model with its prefixes, and a way to read words. Its points are
    a collection of Qdrant. processing/reembed.py says what happens.
    """

    class State(models.TextChoices):
        FILLING = "filling", "Being filled"
        SERVING = "serving", "In use"
        RETIRED = "retired", "Not in use any more"
        REMOVED = "removed", "To be removed"  # an operator's word

    collection = models.CharField(max_length=200, unique=True)
    state = models.CharField(max_length=10, choices=State)
    model = models.CharField(max_length=200, help_text="as LiteLLM names it")
    dimensions = models.PositiveIntegerField()
    query_prefix = models.CharField(max_length=200, blank=True)
    passage_prefix = models.CharField(max_length=200, blank=True)
    words = models.PositiveIntegerField(help_text="the version of how words are read")
    passages_done = models.PositiveIntegerField(default=0)
    passages_total = models.PositiveIntegerField(default=0)
    trouble = models.CharField(max_length=200, blank=True, help_text="why it does not go on")
    seconds_a_passage = models.FloatField(null=True, help_text="of those that were embedded here")
    progressed_at = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    serving_since = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [  # read by processing/index/generations.py
            models.UniqueConstraint(
                fields=["state"],
                condition=Q(state__in=["serving", "filling"]),
                name="one_generation_serves_and_one_fills",
            )
        ]

    def __str__(self) -> str:
        return self.collection

    def percent(self) -> int:
        """Of the passages, those that are in it; 100 only when it has them all."""
        if self.state != self.State.FILLING:
            return 100
        return min(99, 100 * self.passages_done // max(1, self.passages_total))

    def remaining(self) -> timedelta | None:
        """How long it will take at the pace of so far; None when nobody can tell yet."""
        if self.state != self.State.FILLING or self.seconds_a_passage is None:
            return None
        missing = max(0, self.passages_total - self.passages_done)
        return timedelta(seconds=round(missing * self.seconds_a_passage))

    def says(self) -> str:
        """Where it is, in a sentence."""
        if self.state != self.State.FILLING:
            return f"{self.get_state_display()}."
        left = self.remaining()
        rest = f"; about {left} to go" if left is not None else ""
        return f"{self.passages_done:,} of {self.passages_total:,} passages{rest}."

    def is_late(self, limit: timedelta) -> bool:
        """Being filled, and nothing was added for so long."""
        return timezone.now() - self.progressed_at > limit
