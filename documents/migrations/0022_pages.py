import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("documents", "0021_bulk"),
    ]

    operations = [
        migrations.AlterField(
            model_name="outboxmessage",
            name="action",
            field=models.CharField(
                choices=[("process", "Process"), ("purge", "Purge"), ("draw", "Draw")],
                max_length=10,
            ),
        ),
        migrations.CreateModel(
            name="PagePicture",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("reading", models.PositiveIntegerField()),
                ("page", models.PositiveIntegerField(help_text="from 1")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("asked_at", models.DateTimeField(help_text="its last message", null=True)),
                (
                    "begun_at",
                    models.DateTimeField(help_text="the last time that a worker began", null=True),
                ),
                (
                    "tries",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="counted when a worker begins"
                    ),
                ),
                ("drawn_at", models.DateTimeField(null=True)),
                (
                    "failure",
                    models.CharField(blank=True, help_text="a sentence for people", max_length=300),
                ),
                ("width", models.PositiveIntegerField(default=0, help_text="pixels")),
                ("height", models.PositiveIntegerField(default=0)),
                ("pages", models.PositiveIntegerField(default=0, help_text="that the file has")),
                (
                    "matrix",
                    models.JSONField(
                        default=list,
                        help_text="from where rectangles are to the picture, whose sides are 1",
                    ),
                ),
                (
                    "rectangles",
                    models.JSONField(
                        default=dict,
                        help_text="left, bottom, width, height of each, by the passage's position",
                    ),
                ),
                (
                    "document",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="page_pictures",
                        to="documents.document",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("document", "reading", "page"), name="one_picture_per_page"
                    )
                ],
            },
        ),
    ]
