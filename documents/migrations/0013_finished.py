"""When documents became ready or failed: of all that have failed, and of the last week."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

LAST_CHANGE = """
    UPDATE documents_document SET finished_at = progressed_at
    WHERE finished_at IS NULL AND deleted_at IS NULL
      AND (status = 'failed' OR status = 'ready' AND indexed_at > now() - interval '8 days')
"""


class Migration(migrations.Migration):
    atomic = False  # the indexes are made while others write

    dependencies = [("documents", "0012_operators")]

    operations = [
        migrations.RunSQL(LAST_CHANGE, migrations.RunSQL.noop),
        AddIndexConcurrently(
            "document",
            models.Index(
                fields=["status", "finished_at"],
                condition=models.Q(deleted_at=None, status__in=["ready", "failed"]),
                name="document_finished",
            ),
        ),
        AddIndexConcurrently(
            "document",
            models.Index(
                fields=["failure_code", "finished_at"],
                condition=models.Q(deleted_at=None, status="failed"),
                name="document_causes",
            ),
        ),
    ]
