import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("documents", "0020_many_indexes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BulkAction",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("requeue", "Process again"),
                            ("unstick", "Set going"),
                            ("delete", "Delete"),
                            ("restore", "Restore"),
                        ],
                        max_length=10,
                    ),
                ),
                ("which", models.CharField(help_text="the filter that chose them", max_length=500)),
                ("total", models.PositiveIntegerField()),
                ("done", models.PositiveIntegerField(default=0)),
                (
                    "skipped",
                    models.PositiveIntegerField(
                        default=0, help_text="its guard did not hold any more"
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "confirmed_at",
                    models.DateTimeField(help_text="nothing is done before", null=True),
                ),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "knowledge_base",
                    models.ForeignKey(
                        help_text="if of one alone",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="documents.knowledgebase",
                    ),
                ),
            ],
            options={"ordering": ["-pk"]},
        ),
        migrations.AddIndex(
            model_name="bulkaction",
            index=models.Index(
                condition=models.Q(("confirmed_at__isnull", False), ("finished_at", None)),
                fields=["knowledge_base"],
                name="bulk_under_way",
            ),
        ),
        migrations.CreateModel(
            name="BulkSlice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "documents",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.UUIDField(), size=None
                    ),
                ),
                (
                    "bulk",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="documents.bulkaction"
                    ),
                ),
            ],
        ),
    ]
