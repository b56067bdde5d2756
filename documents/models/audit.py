"""Who did what with whose documents: lines that are written once, and changed by nobody.

What an event tells of a person (an upload, a deletion) and what Django's admin writes down of a
change become lines by triggers (migration `0014_audit`); the rest by `documents/audit.py`. The web
and the workers may read and add lines, not change or delete them (deploy/postgres/grants.sql).
"""

from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class AuditEntryQuerySet(models.QuerySet["AuditEntry"]):
    def over(self) -> Self:
        """Older than AUDIT_DAYS."""
        return self.filter(at__lt=Now() - timedelta(days=settings.AUDIT_DAYS))


class AuditEntry(models.Model):
    """One line. It refers to nothing, so that it outlives what it tells of."""

    class Action(models.TextChoices):
        LOGGED_IN = "logged_in", "logged in"
        LOGIN_FAILED = "login_failed", "failed to log in"
        LOGGED_OUT = "logged_out", "logged out"
        READ = "read", "read"
        DOWNLOADED = "downloaded", "downloaded"
        SEARCHED = "searched", "searched"
        UPLOADED = "uploaded", "uploaded"
        REPLACED = "replaced", "replaced"
        DELETED = "deleted", "deleted"
        RESTORED = "restored", "restored"
        REQUEUED = "requeued", "requeued"
        UNSTUCK = "unstuck", "got going again"
        GIVEN_UP = "given_up", "gave up"
        PURGED = "purged", "deleted for good"
        SHARED = "shared", "changed who may see"
        MOVED = "moved", "moved"
        RENAMED = "renamed", "renamed"
        CHANGED = "changed", "changed"
        EXPORTED = "exported", "exported"

    at = models.DateTimeField(db_default=Now())
    action = models.CharField(max_length=20, choices=Action)
    person_id = models.BigIntegerField(null=True, help_text="none: nobody that we know")
    person = models.CharField(max_length=150, blank=True, help_text="the user's name at that time")
    document_id = models.UUIDField(null=True)
    knowledge_base_id = models.BigIntegerField(null=True)
    what = models.CharField(max_length=255, blank=True, help_text="its name at that time")
    detail = models.CharField(max_length=500, blank=True)

    objects = AuditEntryQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-pk"]
        verbose_name_plural = "audit"
        indexes = [  # documents/admin/audit.py: all, and by each of three
            models.Index(fields=["-at", "-id"], name="audit_at"),
            models.Index(
                fields=["person_id", "-at", "-id"],
                condition=Q(person_id__isnull=False),
                name="audit_person",
            ),
            models.Index(
                fields=["document_id", "-at", "-id"],
                condition=Q(document_id__isnull=False),
                name="audit_document",
            ),
            models.Index(
                fields=["knowledge_base_id", "-at", "-id"],
                condition=Q(knowledge_base_id__isnull=False),
                name="audit_knowledge_base",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person or 'somebody'} {self.get_action_display()} {self.what}".strip()

    def as_json(self) -> dict[str, Any]:
        """What an export has of it."""
        return {
            "at": self.at.isoformat(),
            "action": self.action,
            "person": self.person,
            "person_id": self.person_id,
            "document_id": self.document_id and str(self.document_id),
            "knowledge_base_id": self.knowledge_base_id,
            "what": self.what,
            "detail": self.detail,
        }
