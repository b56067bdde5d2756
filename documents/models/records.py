"""The rows around a document: work to post, what happened, who is alive, what was repaired."""

from typing import Self

from django.conf import settings
from django.db import connection, models
from django.db.models import F
from django.db.models.functions import Now


class OutboxMessage(models.Model):
    """Work to be posted to the broker: a row that exists is not posted yet.

    No uniqueness: a transition must never find its message refused because a relay is just about
    to delete the one before. A message too many is a claim refused.
    """

    CHANNEL = "lumikb_outbox"

    class Action(models.TextChoices):
        PROCESS = "process"
        PURGE = "purge"

    class Priority(models.IntegerChoices):
        RESUMED = -5  # its turn had come already
        INTERACTIVE = 0
        BULK = 10

    document = models.ForeignKey("documents.Document", on_delete=models.CASCADE)
    action = models.CharField(max_length=10, choices=Action)
    priority = models.SmallIntegerField(choices=Priority, default=Priority.INTERACTIVE)
    due_at = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["due_at"], name="outbox_due")]  # read by relay.take_due

    def __str__(self) -> str:
        return f"{self.action} {self.document_id}"

    @classmethod
    def ring(cls) -> None:
        """Wake the relays, once this transaction is committed."""
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {cls.CHANNEL}")


class DocumentEvent(models.Model):
    """One line of a document's timeline: what happened, when, and by whom if by a person."""

    document = models.ForeignKey(
        "documents.Document", on_delete=models.CASCADE, related_name="events"
    )
    kind = models.CharField(max_length=20, help_text="the transition's name")
    detail = models.CharField(max_length=500, blank=True)
    epoch = models.PositiveIntegerField()
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["created_at", "pk"]

    def __str__(self) -> str:
        return f"{self.kind} {self.detail}".strip()


class Heartbeat(models.Model):
    """When a kind of process was last seen alive; explain() reads the worker's."""

    class Kind(models.TextChoices):
        WORKER = "worker"

    kind = models.CharField(max_length=10, choices=Kind, primary_key=True)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.kind

    @classmethod
    def beat(cls, kind: str) -> None:
        """Say that one is alive now."""
        Heartbeat.objects.bulk_create(
            [Heartbeat(kind=kind, seen_at=Now())],
            update_conflicts=True,
            unique_fields=["kind"],
            update_fields=["seen_at"],
        )


class OutageQuerySet(models.QuerySet["Outage"]):
    def open(self) -> Self:
        """Nobody is to ask these services now."""
        return self.filter(retry_at__gt=Now())

    def lasting(self) -> Self:
        """Seen to be away, again and again, for `POSTPONE_GIVE_UP`."""
        return self.filter(failed_at__gt=F("since") + settings.POSTPONE_GIVE_UP)


class Outage(models.Model):
    """A service that is away; no row when all is well. documents/outages.py says what happens."""

    service = models.CharField(max_length=20, primary_key=True)
    reason = models.CharField(max_length=200, help_text="a sentence for those who wait")
    failures = models.PositiveIntegerField(default=0)
    since = models.DateTimeField()
    failed_at = models.DateTimeField(help_text="the last time that a worker asked in vain")
    retry_at = models.DateTimeField(help_text="nobody asks before")

    objects = OutageQuerySet.as_manager()

    class Meta:
        ordering = ["-retry_at"]

    def __str__(self) -> str:
        return self.service


class ReconcileRun(models.Model):
    """What one run of the reconciler found and did; `manage.py reconcile` writes it."""

    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    dry_run = models.BooleanField(default=False)
    findings = models.JSONField(default=list, help_text="one row a check: found, done, skipped")

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M}"
