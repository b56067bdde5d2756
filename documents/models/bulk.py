"""What a person does to many documents at once: which, and how far it has come."""

from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from .access import KnowledgeBase


class BulkActionQuerySet(models.QuerySet["BulkAction"]):
    def under_way(self, base: KnowledgeBase) -> Self:
        """Confirmed and not finished, of this knowledge base alone."""
        return self.filter(knowledge_base=base, confirmed_at__isnull=False, finished_at=None)


class BulkAction(models.Model):
    """A set of documents, frozen when it was shown, and what is done to each; see
    documents/bulk.py.
    """

    class Action(models.TextChoices):
        REQUEUE = "requeue", "Process again"
        UNSTICK = "unstick", "Set going"
        DELETE = "delete", "Delete"
        RESTORE = "restore", "Restore"

    action = models.CharField(max_length=10, choices=Action)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    knowledge_base = models.ForeignKey(
        KnowledgeBase, null=True, on_delete=models.CASCADE, help_text="if of one alone"
    )
    which = models.CharField(max_length=500, help_text="the filter that chose them")
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0, help_text="its guard did not hold any more")
    created_at = models.DateTimeField(db_default=Now())
    confirmed_at = models.DateTimeField(null=True, help_text="nothing is done before")
    finished_at = models.DateTimeField(null=True)

    objects = BulkActionQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            # A page asks at each poll which are under way in its knowledge base.
            models.Index(
                fields=["knowledge_base"],
                condition=Q(confirmed_at__isnull=False, finished_at=None),
                name="bulk_under_way",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} {self.total:,} documents"

    @property
    def percent(self) -> int:
        return 100 * (self.done + self.skipped) // self.total if self.total else 100

    @property
    def why_skipped(self) -> str:
        found_no_room = self.action == self.Action.RESTORE
        return f"{'found no room, or ' if found_no_room else ''}had changed meanwhile"

    def says(self) -> str:
        """How far it is, for people."""
        if not self.confirmed_at:
            return "Not confirmed."
        skipped = f", {self.skipped:,} {self.why_skipped}" if self.skipped else ""
        if self.finished_at:
            return f"{self.done:,} of {self.total:,} done{skipped}."
        return f"{self.done + self.skipped:,} of {self.total:,} so far{skipped}."


class BulkSlice(models.Model):
    """Those of its documents that are still to be done, as many as one transaction takes."""

    bulk = models.ForeignKey(BulkAction, on_delete=models.CASCADE)
    documents = ArrayField(models.UUIDField())

    def __str__(self) -> str:
        return f"{self.bulk_id}: {len(self.documents)}"
