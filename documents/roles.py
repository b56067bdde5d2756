"""The roles that ship, as groups of Django: who is in one, and staff, needs no superuser for it.

A migration makes them, with what its release knows; what an administrator changes in them stays.
A new model that operators must see is given to them by its own migration: `make_groups` adds.
"""

from typing import Any

from django.contrib.auth.management import create_permissions

SEEN = [
    "documents.auditentry",
    "documents.document",
    "documents.generation",
    "documents.groupmembership",
    "documents.heartbeat",
    "documents.knowledgebase",
    "documents.limit",
    "documents.membership",
    "documents.outage",
    "documents.outboxmessage",
    "documents.reconcilerun",
    "axes.accessattempt",
]
AUDITORS = [f"{label.replace('.', '.view_')}" for label in SEEN]
OPERATORS = [
    *AUDITORS,
    "documents.change_document",
    "documents.open_document",
    "documents.change_generation",
    "documents.delete_knowledgebase",
    "documents.add_limit",
    "documents.change_limit",
    "documents.delete_limit",
    "documents.change_outage",
    "documents.change_reconcilerun",
    "axes.delete_accessattempt",  # which unlocks somebody
]
GROUPS = {"Operators": OPERATORS, "Auditors": AUDITORS}


def make_groups(apps: Any, schema_editor: Any) -> None:
    """Make them, or add what they lack; the permissions of models that have none yet, too."""
    for label in ("documents", "axes"):
        config = apps.get_app_config(label)
        config.models_module = True  # else it is taken for an app without models
        create_permissions(config, apps=apps, verbosity=0)
        config.models_module = None
    permissions = {
        f"{each.content_type.app_label}.{each.codename}": each
        for each in apps.get_model("auth", "Permission").objects.select_related("content_type")
    }
    for name, wanted in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        group.permissions.add(*(permissions[each] for each in wanted if each in permissions))
