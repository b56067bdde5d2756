from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Coalesce


class Migration(migrations.Migration):
    atomic = False  # nobody waits for the indexes

    dependencies = [
        ("documents", "0010_generations"),
    ]

    operations = [
        migrations.AddField(
            model_name="document",
            name="claimed_at",
            field=models.DateTimeField(help_text="the last time that a worker began", null=True),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                models.F("priority"),
                Coalesce("uploaded_by", 0),
                models.F("due_at"),
                condition=models.Q(("deleted_at", None), ("status", "pending")),
                name="document_waiting",
            ),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                condition=models.Q(("claimed_at__isnull", False)),
                fields=["-claimed_at"],
                name="document_last_claimed",
            ),
        ),
    ]
