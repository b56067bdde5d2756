from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Indexes of what is to be removed in the end, made while people work."""

    atomic = False

    dependencies = [
        ("documents", "0023_removal"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                condition=models.Q(("purged_at__isnull", False)),
                fields=["purged_at"],
                name="document_tombstones",
            ),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                condition=models.Q(("purged_at__isnull", False)),
                fields=["knowledge_base"],
                name="document_tombstones_of",
            ),
        ),
        AddIndexConcurrently(
            model_name="documentevent",
            index=models.Index(
                condition=models.Q(("kind", "registered"), _negated=True),
                fields=["created_at"],
                name="event_age",
            ),
        ),
        AddIndexConcurrently(
            model_name="reconcilerun",
            index=models.Index(fields=["started_at"], name="reconcile_run_age"),
        ),
    ]
