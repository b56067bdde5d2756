"""The groups that ship: documents/roles.py."""

from django.db import migrations

from documents.roles import make_groups


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("axes", "0001_initial"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("documents", "0014_audit"),
    ]

    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
