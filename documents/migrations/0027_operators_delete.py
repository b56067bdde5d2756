"""Operators may delete a knowledge base."""

from django.db import migrations

from documents.roles import make_groups


class Migration(migrations.Migration):
    dependencies = [
        ("axes", "0001_initial"),
        ("documents", "0026_moving"),
    ]

    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
