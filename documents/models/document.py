"""The document, and what it says of itself to people."""

import math
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, HashIndex, OpClass
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Coalesce, Now, Upper
from django.urls import reverse
from django.utils import timezone

from formats import BY_MEDIA_TYPE, Format
from formats.unread import RECOGNISABLE, sentence

from .access import KnowledgeBase
from .querysets import MOST_AHEAD, DocumentQuerySet
from .records import OutboxMessage
from .states import Stage, Status

# The failures that are not the file's: of a service, of the operator's settings, of ours.
MAY_BE_OVER = {
    "bad_embeddings",
    "bad_token_count",
    "embedding_refused",
    "given_up",
    "index_incomplete",
    "index_refused",
    "internal_error",
    "service_unavailable",
    "stalled",
    "worker_died",
    "wrong_dimensions",
}
PACE_COUNT = 64  # passages: from fewer nothing is foretold


class Document(models.Model):
    """A stored file and how far its processing has come."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    knowledge_base = models.ForeignKey(KnowledgeBase, on_delete=models.PROTECT)
    stored_in = models.BigIntegerField(
        null=True, help_text="the knowledge base into which it came, if it was moved since"
    )
    filename = models.CharField(max_length=255)
    content_type = models.CharField(max_length=100)
    size = models.BigIntegerField(help_text="bytes")
    sha256 = models.CharField(max_length=64)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    tags = ArrayField(models.CharField(max_length=100), default=list, db_default=[], blank=True)
    # The document that search still shows until this one is indexed.
    replaces = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="replacements"
    )

    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    stage = models.CharField(max_length=10, choices=Stage, blank=True)
    progress_count = models.PositiveIntegerField(default=0, help_text="chunks done in this stage")
    progress_total = models.PositiveIntegerField(default=0)
    place = models.CharField(
        max_length=100, blank=True, db_default="", help_text="where in it the work is: page 12"
    )
    priority = models.SmallIntegerField(
        choices=OutboxMessage.Priority,
        default=OutboxMessage.Priority.INTERACTIVE,
        db_default=OutboxMessage.Priority.INTERACTIVE,
    )
    attempts = models.PositiveSmallIntegerField(
        default=0, help_text="counted when a worker begins; given back when its turn ended well"
    )
    deaths = models.PositiveSmallIntegerField(default=0, help_text="workers that vanished over it")
    turns = models.PositiveIntegerField(
        default=0, db_default=0, help_text="so often given back in good order since it was claimed"
    )
    due_at = models.DateTimeField(db_default=Now(), help_text="no worker begins before")
    claimed_at = models.DateTimeField(null=True, help_text="the last time that a worker began")
    lease_epoch = models.PositiveIntegerField(default=0, help_text="+1 for each claim, never reset")
    lease_expires_at = models.DateTimeField(null=True)
    worker = models.IntegerField(null=True, help_text="number of the process that has the lease")
    waiting_for = models.CharField(max_length=200, blank=True, help_text="why the next try waits")
    postponed_since = models.DateTimeField(null=True, help_text="a service has been away since")
    failure_code = models.CharField(max_length=40, blank=True)
    failure_message = models.CharField(max_length=500, blank=True)

    # What a turn leaves to the next one: documents/kept.py.
    fingerprint = models.CharField(
        max_length=64, blank=True, db_default="", help_text="of what it was made from and with"
    )
    kept_epoch = models.PositiveIntegerField(null=True, help_text="in which this reading began")
    kept_unit = models.PositiveIntegerField(
        default=1, db_default=1, help_text="page or the like at which it goes on; 0: all is read"
    )
    kept_chars = models.PositiveIntegerField(default=0, db_default=0, help_text="of its text")
    kept_passages = models.PositiveIntegerField(default=0, db_default=0, help_text="read")
    kept_count = models.PositiveIntegerField(default=0, db_default=0, help_text="in the index")
    kept_unread = models.JSONField(default=list, db_default=[])
    attempts_kept = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="those before it got on, which are forgiven"
    )
    deaths_kept = models.PositiveSmallIntegerField(default=0, db_default=0)
    furthest = models.PositiveIntegerField(
        default=0, db_default=0, help_text="that it ever came: characters read, and passages kept"
    )
    paced_since = models.DateTimeField(null=True, help_text="its pace is measured from then")
    paced_count = models.PositiveIntegerField(default=0, db_default=0, help_text="kept by then")

    # What search reads: the text and the passages of the reading that began in `indexed_epoch`.
    chunk_count = models.PositiveIntegerField(default=0)
    unread = models.JSONField(
        default=list,
        db_default=[],
        help_text="what the parser passed over: kind, place, count of each",
    )
    indexed_epoch = models.PositiveIntegerField(null=True)
    chunk_reading = models.PositiveIntegerField(
        default=0, db_default=0, help_text="`reading` of its passages; 0 for those of before 0.3"
    )
    indexed_at = models.DateTimeField(null=True)

    created_at = models.DateTimeField(db_default=Now(), editable=False)
    posted_at = models.DateTimeField(
        db_default=Now(), help_text="its last message, in the outbox or in Redis"
    )
    is_posted = models.BooleanField(
        default=False, db_default=False, help_text="that message has left the outbox"
    )
    progressed_at = models.DateTimeField(db_default=Now(), help_text="last change but a heartbeat")
    finished_at = models.DateTimeField(null=True, help_text="when it was READY or FAILED last")
    deleted_at = models.DateTimeField(null=True)
    purging_at = models.DateTimeField(null=True, help_text="no way back from here")
    purged_at = models.DateTimeField(null=True)

    objects = DocumentQuerySet.as_manager()

    class Meta:
        # By two, or those of one moment may be on two pages, or on none; in one direction, so that
        # "behind this one" is one step in an index.
        ordering = ["-created_at", "-pk"]
        constraints = [
            # Decides duplicates, for every writer there is: lifecycle.register reads its name.
            models.UniqueConstraint(
                fields=["knowledge_base", "filename"],
                condition=Q(deleted_at=None),
                name="one_live_document_per_filename",
            ),
            # A lease exists if and only if a worker may be at work: lifecycle.claim, abandoned().
            models.CheckConstraint(
                name="lease_iff_processing_and_live",
                condition=Q(
                    Q(status=Status.PROCESSING, deleted_at=None, lease_expires_at__isnull=False)
                    | (~Q(status=Status.PROCESSING) | Q(deleted_at__isnull=False))
                    & Q(lease_expires_at=None)
                ),
            ),
            # Nobody reads a failure that is over, or meets one without a reason: explain().
            models.CheckConstraint(
                name="failure_iff_failed",
                condition=Q(
                    ~Q(failure_message="") & ~Q(failure_code="") & Q(status=Status.FAILED)
                    | Q(failure_message="", failure_code="") & ~Q(status=Status.FAILED)
                ),
            ),
            # Two Unicode forms of one name would be two documents to the constraint above.
            models.CheckConstraint(
                name="filename_nfc_and_not_empty",
                condition=Q(filename=Func("filename", function="NORMALIZE")) & ~Q(filename=""),
            ),
        ]
        # Of `progressed_at` and the lease there is none: renewing and progress touch no index.
        indexes = [
            # Lists, the newest first: of a knowledge base (documents/listing.py)...
            models.Index(
                fields=["knowledge_base", "-created_at", "-id"],
                condition=Q(deleted_at=None),
                name="document_live",
            ),
            models.Index(
                fields=["knowledge_base", "status", "-created_at", "-id"],
                condition=Q(deleted_at=None),
                name="document_of_status",
            ),
            models.Index(
                fields=["knowledge_base", "-created_at", "-id"],
                condition=Q(deleted_at=None, status=Status.READY) & ~Q(unread=[]),
                name="document_partly_read",
            ),
            models.Index(
                fields=["knowledge_base", "-created_at", "-id"],
                condition=Q(deleted_at__isnull=False, purging_at=None),
                name="document_deleted",
            ),
            # ... and of all, in the admin.
            models.Index(
                fields=["-created_at", "-id"], condition=Q(deleted_at=None), name="document_all"
            ),
            models.Index(
                fields=["status", "-created_at", "-id"],
                condition=Q(deleted_at=None),
                name="document_all_of_status",
            ),
            models.Index(
                fields=["failure_code", "-created_at", "-id"],
                condition=Q(deleted_at=None, status=Status.FAILED),
                name="document_all_failed",
            ),
            models.Index(
                fields=["-created_at", "-id"],
                condition=Q(deleted_at=None, status=Status.READY) & ~Q(unread=[]),
                name="document_all_partly_read",
            ),
            # What a list is searched for: a part of a name, the content.
            GinIndex(OpClass(Upper("filename"), name="gin_trgm_ops"), name="document_name"),
            HashIndex(fields=["sha256"], name="document_sha256"),
            # stuck(), abandoned() and health read only what is unfinished: a small index.
            models.Index(
                fields=["status", "due_at"],
                condition=Q(deleted_at=None, status__in=[Status.PENDING, Status.PROCESSING]),
                name="document_unfinished",
            ),
            # fairness.py: whose documents wait, and who had the last turn.
            models.Index(
                F("priority"),
                Coalesce("uploaded_by", 0),
                F("due_at"),
                condition=Q(deleted_at=None, status=Status.PENDING),
                name="document_waiting",
            ),
            models.Index(
                fields=["-claimed_at"],
                condition=Q(claimed_at__isnull=False),
                name="document_last_claimed",
            ),
            # `tag:` of the list and of search.
            GinIndex(fields=["tags"], name="document_tags"),
            # The place in the queue: querysets.py, AHEAD.
            models.Index(
                fields=["uploaded_by", "priority", "due_at"],
                condition=Q(deleted_at=None, status=Status.PENDING),
                name="document_ahead",
            ),
            # documents/figures.py: how many became ready or failed within a time, and why.
            models.Index(
                fields=["status", "finished_at"],
                condition=Q(deleted_at=None, status__in=[Status.READY, Status.FAILED]),
                name="document_finished",
            ),
            models.Index(
                fields=["failure_code", "finished_at"],
                condition=Q(deleted_at=None, status=Status.FAILED),
                name="document_causes",
            ),
            # What the relay looks for at every tick: unposted().
            models.Index(
                fields=["posted_at"],
                condition=Q(deleted_at=None, status=Status.PENDING, is_posted=True),
                name="document_posted",
            ),
            # purgeable()
            models.Index(
                fields=["deleted_at"],
                condition=Q(deleted_at__isnull=False, purged_at=None),
                name="document_unpurged",
            ),
            # Whose objects are in the folder of another knowledge base: processing/reconcile.
            models.Index(
                fields=["stored_in", "id"],
                condition=Q(stored_in__isnull=False),
                name="document_moved",
            ),
            # Rows that are to go: documents/history.py, documents/removal.py.
            models.Index(
                fields=["purged_at"],
                condition=Q(purged_at__isnull=False),
                name="document_tombstones",
            ),
            models.Index(
                fields=["knowledge_base"],
                condition=Q(purged_at__isnull=False),
                name="document_tombstones_of",
            ),
        ]  # fmt: skip
        permissions = [("open_document", "Can open the file of any document, which is recorded")]

    def __str__(self) -> str:
        return self.filename

    def get_absolute_url(self) -> str:
        return reverse("document", args=[self.pk])

    @property
    def storage_prefix(self) -> str:
        """Under this the original and the extracted texts are stored; a key is never used twice."""
        return f"{self.stored_in or self.knowledge_base_id}/{self.pk}"

    @property
    def storage_key(self) -> str:
        return f"{self.storage_prefix}/original"

    def text_key(self, epoch: int) -> str:
        """The extracted text, when it is one object, of the reading that began in this epoch."""
        return f"{self.storage_prefix}/text-{epoch}"

    @property
    def has_pictures(self) -> bool:
        """Its pages can be shown as they look."""
        return bool(self.indexed_at and self.format and self.format.has_pictures)

    @property
    def doing(self) -> str:
        """What its worker does, for people."""
        return Stage(self.stage).label.lower() + (f" ({self.place})" if self.place else "")

    @property
    def has_last_chance(self) -> bool:
        """One more worker that dies over it, and it is FAILED."""
        return self.deaths - self.deaths_kept >= settings.MAX_DEATHS - 1

    @property
    def minutes_left(self) -> int | None:
        """From the pace of this document so far; None while that says nothing yet."""
        done = self.progress_count - self.paced_count
        if not self.paced_since or done < max(PACE_COUNT, self.progress_total // 50):
            return None
        each = (self.progressed_at - self.paced_since) / done
        return math.ceil(each * (self.progress_total - self.progress_count) / timedelta(minutes=1))

    @property
    def is_worth_another_try(self) -> bool:
        """FAILED for what may be over by now; else the same file fails again, and needs another."""
        return self.failure_code in MAY_BE_OVER

    @property
    def is_file_lost(self) -> bool:
        """The same file can be read when it is there again."""
        return self.failure_code in ("file_missing", "file_changed")

    @property
    def is_finished(self) -> bool:
        return self.status in (Status.READY, Status.FAILED) or self.deleted_at is not None

    @property
    def format(self) -> Format | None:
        """What kind of file it is, and what its places are called; None for one no longer read."""
        return BY_MEDIA_TYPE.get(self.content_type)

    @property
    def unread_sentences(self) -> list[str]:
        """The reading report, for people."""
        return [sentence(**entry) for entry in self.unread]

    @property
    def is_recognisable(self) -> bool:
        """Whether text recognition would read some of what was passed over."""
        return any(entry["kind"] in RECOGNISABLE for entry in self.unread)

    def explain(self) -> str:
        """Why is it not ready? One sentence for a person, in the time zone in use."""
        if self.purged_at:
            return f"Deleted for good at {_clock(self.purged_at)}."
        if self.deleted_at:
            if not hasattr(self, "is_awaiting_replacement"):
                return self._looked_at().explain()
            if self.is_awaiting_replacement:
                return f"Replaced at {_clock(self.deleted_at)}; found until the new one is ready."
            if self.purging_at:
                return f"Deleted at {_clock(self.deleted_at)}; its content is being removed."
            if self.is_replaced:  # type: ignore[attr-defined]
                return (
                    f"Replaced at {_clock(self.deleted_at)} by a newer version; it can be looked "
                    "at until its content is removed, from "
                    f"{_clock(self.deleted_at + settings.PURGE_AFTER)} on."
                )
            return (
                f"Deleted at {_clock(self.deleted_at)}; it can be restored until its content is "
                f"removed, from {_clock(self.deleted_at + settings.PURGE_AFTER)} on."
            )
        if self.status == Status.READY:
            passages = "passage" if self.chunk_count == 1 else "passages"
            return f"Ready since {_clock(self.indexed_at)}, in {self.chunk_count} {passages}."
        if self.status == Status.FAILED:
            return self.failure_message
        if self.status == Status.PROCESSING:
            if self.lease_expires_at and self.lease_expires_at < timezone.now():
                return (
                    f"Its worker has not been heard of since {_clock(self.lease_expires_at)}; "
                    "it will be taken over."
                )
            return f"{Stage(self.stage).label}{self._how_far()}."
        if self.waiting_for and self.due_at > timezone.now():
            return f"Waiting: {self.waiting_for} Next try at {_clock(self.due_at)}."
        if self.turns:
            return f"Its next turn is soon{self._how_far()}."
        return self._explain_queue()

    def _how_far(self) -> str:
        if not self.progress_total:
            return f": {self.place}" if self.place else ""
        minutes = self.minutes_left
        left = f", about {minutes} minute{'' if minutes == 1 else 's'}" if minutes else ""
        return f": {self.progress_count} of {self.progress_total}{left}"

    def _explain_queue(self) -> str:
        if not hasattr(self, "ahead_count"):
            return self._looked_at().explain()
        if reason := getattr(self, "outage_reason", None):
            retry_at = max(self.outage_retry_at, timezone.now())  # type: ignore[attr-defined]
            return f"Waiting: {reason} Next try at {_clock(retry_at)}."
        seen_at: datetime | None = getattr(self, "worker_seen_at", None)
        if seen_at is None:
            return "Waiting: no worker has been seen yet."
        if timezone.now() - seen_at > 2 * settings.LEASE:
            return f"Waiting: no worker has been seen since {_clock(seen_at)}."
        alone = not getattr(self, "others_wait", False)
        if not self.ahead_count:
            return "Next in the queue." if alone else "Next in the queue of its person."
        count = "1 other" if self.ahead_count == 1 else f"{self.ahead_count} others"
        if self.ahead_count > MOST_AHEAD:
            count = f"more than {MOST_AHEAD:,} others"
        taking_turns = "" if alone else " Other people’s take turns with these."
        return f"Waiting in the queue behind {count}.{taking_turns}"

    def _looked_at(self) -> "Document":
        """The row as a page shows it, with what it says of others."""
        shown = Document.objects.filter(pk=self.pk).explained_page()
        if not shown:
            raise Document.DoesNotExist
        return shown[0]


def _clock(moment: datetime | None) -> str:
    local = timezone.localtime(moment)
    today = local.date() == timezone.localdate()
    return local.strftime("%H:%M %Z" if today else "%Y-%m-%d %H:%M %Z")
