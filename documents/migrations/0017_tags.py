from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # the index is made while people work

    dependencies = [("documents", "0016_sharing")]

    operations = [
        migrations.AddField(
            model_name="document",
            name="tags",
            field=ArrayField(
                base_field=models.CharField(max_length=100), blank=True, db_default=[], default=list
            ),
        ),
        AddIndexConcurrently(
            model_name="document", index=GinIndex(fields=["tags"], name="document_tags")
        ),
    ]
