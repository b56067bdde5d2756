import django.contrib.postgres.indexes
import django.db.models.functions.text
from django.contrib.postgres.operations import (
    AddIndexConcurrently,
    RemoveIndexConcurrently,
    TrigramExtension,
)
from django.db import migrations, models


class Migration(migrations.Migration):
    """The lists and queues of a million documents, while people work: no lock is held for long.

    The extension pg_trgm comes with PostgreSQL and is trusted: the database's owner may create it.
    """

    atomic = False

    dependencies = [
        ("documents", "0019_many"),
    ]

    operations = [
        TrigramExtension(),
        RemoveIndexConcurrently(
            model_name="document",
            name="document_partly_read",
        ),
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                condition=models.Q(("deleted_at", None)),
                fields=["knowledge_base", "-created_at", "-id"],
                name="document_live",
            ),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                condition=models.Q(("deleted_at", None)),
                fields=["knowledge_base", "status", "-created_at", "-id"],
                name="document_of_status",
            ),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                condition=models.Q(
                    ("deleted_at", None),
                    ("status", "ready"),
                    models.Q(("unread", []), _negated=True),
                ),
                fields=["knowledge_base", "-created_at", "-id"],
                name="document_partly_read",
            ),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", False), ("purging_at", None)),
                fields=["knowledge_base", "-created_at", "-id"],
                name="document_deleted",
            ),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                condition=models.Q(("deleted_at", None)),
                fields=["-created_at", "-id"],
                name="document_all",
            ),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                condition=models.Q(("deleted_at", None)),
                fields=["status", "-created_at", "-id"],
                name="document_all_of_status",
            ),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                condition=models.Q(("deleted_at", None), ("status", "failed")),
                fields=["failure_code", "-created_at", "-id"],
                name="document_all_failed",
            ),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                condition=models.Q(
                    ("deleted_at", None),
                    ("status", "ready"),
                    models.Q(("unread", []), _negated=True),
                ),
                fields=["-created_at", "-id"],
                name="document_all_partly_read",
            ),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=django.contrib.postgres.indexes.GinIndex(
                django.contrib.postgres.indexes.OpClass(
                    django.db.models.functions.text.Upper("filename"), name="gin_trgm_ops"
                ),
                name="document_name",
            ),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=django.contrib.postgres.indexes.HashIndex(
                fields=["sha256"], name="document_sha256"
            ),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                condition=models.Q(("deleted_at", None), ("status", "pending")),
                fields=["uploaded_by", "priority", "due_at"],
                name="document_ahead",
            ),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                condition=models.Q(
                    ("deleted_at", None), ("is_posted", True), ("status", "pending")
                ),
                fields=["posted_at"],
                name="document_posted",
            ),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", False), ("purged_at", None)),
                fields=["deleted_at"],
                name="document_unpurged",
            ),
        ),
        AddIndexConcurrently(
            model_name="documentevent",
            index=models.Index(
                condition=models.Q(("kind__in", ["succeeded", "failed"])),
                fields=["created_at"],
                name="event_of_an_end",
            ),
        ),
        AddIndexConcurrently(
            model_name="outboxmessage",
            index=models.Index(
                condition=models.Q(("is_due", True)),
                fields=["action", "priority", "person", "base", "due_at", "id"],
                name="outbox_queues",
            ),
        ),
        AddIndexConcurrently(
            model_name="outboxmessage",
            index=models.Index(
                condition=models.Q(("is_due", False)),
                fields=["action", "due_at"],
                name="outbox_later",
            ),
        ),
        RemoveIndexConcurrently(
            model_name="document",
            name="document_list",
        ),
        RemoveIndexConcurrently(
            model_name="document",
            name="document_status",
        ),
        RemoveIndexConcurrently(
            model_name="outboxmessage",
            name="outbox_due",
        ),
    ]
