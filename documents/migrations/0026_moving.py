from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

ACTIONS = [
    ("logged_in", "logged in"),
    ("login_failed", "failed to log in"),
    ("logged_out", "logged out"),
    ("read", "read"),
    ("downloaded", "downloaded"),
    ("searched", "searched"),
    ("uploaded", "uploaded"),
    ("replaced", "replaced"),
    ("deleted", "deleted"),
    ("restored", "restored"),
    ("requeued", "requeued"),
    ("unstuck", "got going again"),
    ("given_up", "gave up"),
    ("purged", "deleted for good"),
    ("shared", "changed who may see"),
    ("moved", "moved"),
    ("changed", "changed"),
    ("exported", "exported"),
]


class Migration(migrations.Migration):
    """Documents move to another knowledge base, and leave their objects where they are."""

    atomic = False

    dependencies = [
        ("documents", "0025_limits"),
    ]

    operations = [
        migrations.AddField(
            model_name="document",
            name="stored_in",
            field=models.BigIntegerField(
                help_text="the knowledge base into which it came, if it was moved since", null=True
            ),
        ),
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(
                condition=models.Q(("stored_in__isnull", False)),
                fields=["stored_in", "id"],
                name="document_moved",
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="action",
            field=models.CharField(choices=ACTIONS, max_length=20),
        ),
        migrations.AlterField(
            model_name="outboxmessage",
            name="action",
            field=models.CharField(
                choices=[
                    ("process", "Process"),
                    ("purge", "Purge"),
                    ("move", "Move"),
                    ("draw", "Draw"),
                ],
                max_length=10,
            ),
        ),
    ]
