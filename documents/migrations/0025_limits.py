import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from documents.roles import make_groups


class Migration(migrations.Migration):
    """How much one person or one knowledge base may have; operators say so."""

    dependencies = [
        ("documents", "0024_history"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Limit",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "documents",
                    models.PositiveBigIntegerField(
                        blank=True, help_text="not deleted ones", null=True
                    ),
                ),
                (
                    "bytes",
                    models.PositiveBigIntegerField(
                        blank=True, help_text="of their files", null=True
                    ),
                ),
                (
                    "waiting",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="documents that are not ready and have not failed",
                        null=True,
                    ),
                ),
                (
                    "uploads",
                    models.PositiveBigIntegerField(blank=True, help_text="at a time", null=True),
                ),
                (
                    "knowledge_base",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="documents.knowledgebase",
                    ),
                ),
                (
                    "user",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="person",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="limit",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("knowledge_base__isnull", False), ("user", None)),
                    models.Q(("knowledge_base", None), ("user__isnull", False)),
                    _connector="OR",
                ),
                name="limit_of_a_person_or_a_knowledge_base",
            ),
        ),
        migrations.CreateModel(
            name="UploadUnderWay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "owner",
                    models.CharField(
                        help_text="of the limit: a person, a knowledge base", max_length=30
                    ),
                ),
                (
                    "until",
                    models.DateTimeField(
                        help_text="by then it has ended, whatever became of its process"
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="uploadunderway",
            index=models.Index(fields=["owner"], name="upload_under_way_of"),
        ),
        migrations.RunPython(make_groups, migrations.RunPython.noop),
    ]
