from importlib import import_module

from django.db import migrations, models

ACTIONS = import_module("documents.migrations.0026_moving").ACTIONS


class Migration(migrations.Migration):
    """A document that is renamed has been a line of the audit (0014_audit) without a label."""

    dependencies = [
        ("documents", "0027_operators_delete"),
    ]

    operations = [
        migrations.AlterField(
            model_name="auditentry",
            name="action",
            field=models.CharField(
                choices=[*ACTIONS[:-2], ("renamed", "renamed"), *ACTIONS[-2:]], max_length=20
            ),
        ),
    ]
