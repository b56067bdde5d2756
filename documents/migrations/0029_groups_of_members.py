"""Operators and auditors see which groups are members of a knowledge base."""

from django.db import migrations

from documents.roles import make_groups


class Migration(migrations.Migration):
    dependencies = [
        ("axes", "0001_initial"),
        ("documents", "0028_renamed"),
    ]

    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
