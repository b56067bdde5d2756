"""How many documents there are in which state, kept, so that nobody counts a million."""

from django.db import models
from django.db.models import Q


class DocumentCount(models.Model):
    """A change of a number, or the sum of the changes so far. documents/counts.py reads them.

    Triggers write the changes, in the transaction that changes the documents: nobody can forget it,
    and nobody waits for another's commit, as who adds to one row does. The relay adds them up.
    `state`: unfinished, ready, failed, deleted (not being purged yet); and as well partly_read,
    `unread <kind>`, `failed <code>`.
    """

    ALL = -1  # in a sum: whosever they are, in whichever knowledge base

    knowledge_base = models.BigIntegerField()
    person = models.BigIntegerField(help_text="uploader; 0: nobody")
    state = models.CharField(max_length=60)
    documents = models.BigIntegerField()
    bytes = models.BigIntegerField()
    is_sum = models.BooleanField(default=False, db_default=False)

    class Meta:
        constraints = [
            # What counts.add_up() adds to.
            models.UniqueConstraint(
                fields=["knowledge_base", "person", "state"],
                condition=Q(is_sum=True),
                name="one_sum_of_documents",
            )
        ]
        indexes = [
            models.Index(
                fields=["knowledge_base", "person"],
                condition=Q(is_sum=False),
                name="count_changes",
            )
        ]

    def __str__(self) -> str:
        return f"{self.state}: {self.documents}"
