"""The rows around a document: work to post, what happened, who is alive, what was repaired."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.timezone import localtime


class OutboxMessage(models.Model):
    """Work to be posted to the broker: a row that exists is not posted yet.

    No uniqueness: a transition must never find its message refused because a relay is just about
    to delete the one before. A message too many is a claim refused.
    """

    CHANNEL = "lumikb_outbox"
    WAKE = f"; NOTIFY {CHANNEL}"
    ADD = """
        INSERT INTO documents_outboxmessage
            (document_id, action, priority, due_at, created_at, is_due, person, base)
        SELECT id, %s, %s, statement_timestamp() + %s, statement_timestamp(), %s,
            COALESCE(uploaded_by_id, 0), knowledge_base_id
        FROM documents_document WHERE id = ANY(%s)
    """

    class Action(models.TextChoices):
        PROCESS = "process"
        PURGE = "purge"
        MOVE = "move"  # its points to the knowledge base in which it is now
        DRAW = "draw"  # pages of it: documents/pictures.py

    class Priority(models.IntegerChoices):
        RESUMED = -5  # its turn had come already
        INTERACTIVE = 0
        BULK = 10

    document = models.ForeignKey("documents.Document", on_delete=models.CASCADE)
    action = models.CharField(max_length=10, choices=Action)
    priority = models.SmallIntegerField(choices=Priority, default=Priority.INTERACTIVE)
    due_at = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(db_default=Now())

    # Whose turn: a queue of each person's, and in it one of each knowledge base's. No keys: who is
    # gone by now has left work all the same. A row that says nothing of them (an earlier release's)
    # is for later, and gets them when it is filed.
    person = models.BigIntegerField(default=0, db_default=0, help_text="uploader; 0: nobody")
    base = models.BigIntegerField(default=0, db_default=0, help_text="knowledge base")
    is_due = models.BooleanField(default=False, db_default=False, help_text="in the queue")

    class Meta:
        indexes = [
            # The heads of the queues, and what is to be filed into them: processing/rounds.py.
            models.Index(
                fields=["action", "priority", "person", "base", "due_at", "id"],
                condition=Q(is_due=True),
                name="outbox_queues",
            ),
            models.Index(
                fields=["action", "due_at"], condition=Q(is_due=False), name="outbox_later"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.document_id}"

    @classmethod
    def add(cls, documents: Collection[UUID], action: str, priority: int, delay: timedelta) -> None:
        """A message of each; for lifecycle.py. When it is due at once it is in the queue of its
        person and knowledge base, and the relays are woken as by `ring`, in the same round trip.
        """
        parameters: Any = [action, priority, delay, not delay, list(documents)]
        with connection.cursor() as cursor:
            cursor.execute(cls.ADD if delay else cls.ADD + cls.WAKE, parameters)

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
        indexes = [
            # Does the queue move? lumikb/health.py.
            models.Index(
                fields=["created_at"],
                condition=Q(kind__in=["succeeded", "failed"]),
                name="event_of_an_end",
            ),
            # What is to be forgotten: history.py.
            models.Index(fields=["created_at"], condition=~Q(kind="registered"), name="event_age"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.detail}".strip()

    @property
    def says(self) -> str:
        """The detail for people: a failure's sentence, without the code before it."""
        return self.detail.partition(": ")[2] if self.kind == "failed" else self.detail

    @classmethod
    def add(
        cls, documents: Collection[UUID], kind: str, detail: str, epoch: int, by: int | None
    ) -> None:
        """One of each, which takes a quarter of the time of a thousand objects; for
        lifecycle.py.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO documents_documentevent (document_id, kind, detail, epoch, by_id)
                SELECT unnest(%s::uuid[]), %s, %s, %s, %s
                """,
                [list(documents), kind, detail, epoch, by],
            )


class DocumentError(models.Model):
    """What a worker's log said of a document, with the traceback; for operators, not for people."""

    KEPT = 10  # of a document, the newest

    document = models.ForeignKey(
        "documents.Document", on_delete=models.CASCADE, related_name="errors"
    )
    at = models.DateTimeField(db_default=Now())
    text = models.TextField(help_text="as it was logged, without secrets")

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [models.Index(fields=["at"], name="document_error_age")]  # swept by reconcile

    def __str__(self) -> str:
        return self.text.partition("\n")[0]

    @classmethod
    def keep(cls, document_id: UUID, text: str) -> None:
        """Add it; the oldest beyond `KEPT` goes. Raises IntegrityError when it is gone."""
        with transaction.atomic():
            cls.objects.create(document_id=document_id, text=text)
            newest = cls.objects.filter(document=document_id).order_by("-pk")
            beyond = newest.values_list("pk", flat=True)[cls.KEPT :]
            cls.objects.filter(pk__in=list(beyond)).delete()


class Heartbeat(models.Model):
    """When a kind of process last did its work: explain(), /health/ready and /metrics read it."""

    class Kind(models.TextChoices):
        WORKER = "worker"
        RELAY = "relay"  # a tick: it has posted what was due and healed
        RECONCILE = "reconcile"  # a run whose every check could tell

    # No kind of process: a worker that runs, or would run, parsers without their filter.
    UNFILTERED = "unfiltered"

    kind = models.CharField(max_length=10, choices=Kind, primary_key=True)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.kind

    @classmethod
    def beat(cls, kind: str) -> None:
        """Say that one is alive now. Once a second will do: very many would wait for each other."""
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO documents_heartbeat (kind, seen_at)"
                " SELECT %s, statement_timestamp() WHERE NOT EXISTS ("
                "SELECT FROM documents_heartbeat"
                " WHERE kind = %s AND seen_at > statement_timestamp() - interval '1 second')"
                " ON CONFLICT (kind) DO UPDATE SET seen_at = excluded.seen_at",
                [kind, kind],
            )

    @classmethod
    def ages(cls, using: str) -> dict[str, timedelta]:
        """How long ago each kind was last seen; those that never were are not in it."""
        seen = Heartbeat.objects.using(using).annotate(age=Now() - F("seen_at"))
        return dict(seen.values_list("kind", "age"))

    @classmethod
    def unfiltered(cls, using: str = "default") -> bool:
        """Whether a worker of now has said that its system does not filter its parsers' calls."""
        last = cls.objects.using(using).filter(kind=cls.UNFILTERED)
        return last.filter(seen_at__gt=Now() - 2 * settings.LEASE).exists()


class Tally(models.Model):
    """What is counted for /metrics. It is kept here, so that no process takes its count with it."""

    pk = models.CompositePrimaryKey("name", "label")
    name = models.CharField(max_length=40)
    label = models.CharField(max_length=40, blank=True)
    value = models.FloatField()

    def __str__(self) -> str:
        return f"{self.name} {self.label}".strip()

    @classmethod
    def add(cls, name: str, label: str = "") -> None:
        """Count one."""
        cls.add_all({(name, label): 1})

    @classmethod
    def add_all(cls, amounts: Mapping[tuple[str, str], float]) -> None:
        """Add to many, by name and label: one statement, in one order so that none deadlocks."""
        rows = [(name, label, float(amounts[name, label])) for name, label in sorted(amounts)]
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO documents_tally (name, label, value)"
                " SELECT * FROM unnest(%s::text[], %s::text[], %s::float8[])"
                " ON CONFLICT (name, label)"
                " DO UPDATE SET value = documents_tally.value + excluded.value",
                [list(column) for column in zip(*rows, strict=True)],
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


class IdempotencyKeyQuerySet(models.QuerySet["IdempotencyKey"]):
    def kept(self) -> Self:
        return self.filter(created_at__gt=Now() - settings.IDEMPOTENCY_KEPT)

    def over(self) -> Self:
        """Forgotten: the same key is a new one. The reconciler sweeps them."""
        return self.filter(created_at__lte=Now() - settings.IDEMPOTENCY_KEPT)


class IdempotencyKey(models.Model):
    """A client's name for one request, and what that request made: documents/idempotency.py."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the request")
    made = models.CharField(max_length=100, help_text="the id or slug of what it made")
    created_at = models.DateTimeField(db_default=Now())

    objects = IdempotencyKeyQuerySet.as_manager()

    class Meta:
        constraints = [
            # Decides between two at once: idempotency.Once.remember reads its name.
            models.UniqueConstraint(fields=["user", "key"], name="one_request_per_idempotency_key")
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_key_age")]

    def __str__(self) -> str:
        return self.key


class ReconcileRun(models.Model):
    """What one run of the reconciler found and did; `manage.py reconcile` writes it.

    Not begun yet, it is an operator's wish, which the reconciler takes up.
    """

    requested_at = models.DateTimeField(null=True, help_text="in the admin")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    started_at = models.DateTimeField(null=True, db_default=Now())
    finished_at = models.DateTimeField(null=True)
    dry_run = models.BooleanField(default=False)
    findings = models.JSONField(default=list, help_text="one row a check: found, done, skipped")

    class Meta:
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["started_at"], name="reconcile_run_age")]

    def __str__(self) -> str:
        if self.started_at is None:
            return f"requested {localtime(self.requested_at):%Y-%m-%d %H:%M %Z}"
        return f"{localtime(self.started_at):%Y-%m-%d %H:%M %Z}"
