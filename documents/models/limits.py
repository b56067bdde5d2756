"""How much a person may have, and a knowledge base: documents/limits.py says what comes of it."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import JSONObject

from .access import KnowledgeBase

KINDS = ("documents", "bytes", "waiting", "uploads")


class Limit(models.Model):
    """Of one person or one knowledge base, in the place of PERSON_LIMITS or KNOWLEDGE_BASE_LIMITS.

    What is empty is as it is for all; a very large number is no limit.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name="person",
    )
    knowledge_base = models.OneToOneField(
        KnowledgeBase, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    documents = models.PositiveBigIntegerField(null=True, blank=True, help_text="not deleted ones")
    bytes = models.PositiveBigIntegerField(null=True, blank=True, help_text="of their files")
    waiting = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="documents that are not ready and have not failed"
    )
    uploads = models.PositiveBigIntegerField(null=True, blank=True, help_text="at a time")

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="limit_of_a_person_or_a_knowledge_base",
                condition=Q(user=None, knowledge_base__isnull=False)
                | Q(user__isnull=False, knowledge_base=None),
            )
        ]

    def __str__(self) -> str:
        return str(self.user or self.knowledge_base)

    @staticmethod
    def as_json(**whose: Any) -> models.Subquery:
        """The numbers of one row, to be asked for beside another."""
        numbers = JSONObject(**{kind: kind for kind in KINDS})
        return models.Subquery(Limit.objects.filter(**whose).values(numbers=numbers)[:1])


class UploadUnderWay(models.Model):
    """An upload that is being stored, where so many at a time are the limit."""

    owner = models.CharField(max_length=30, help_text="of the limit: a person, a knowledge base")
    until = models.DateTimeField(help_text="by then it has ended, whatever became of its process")

    class Meta:
        indexes = [models.Index(fields=["owner"], name="upload_under_way_of")]

    def __str__(self) -> str:
        return self.owner
