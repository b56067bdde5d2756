"""Knowledge bases can be deleted: while they are removed, nothing comes into them.

Quick: a column without a default, and an index of few rows.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# Locks the row as the foreign key does, so that who deletes it waits for whoever comes in, or he
# for the other; and then it looks again. An insertion pays for it within its own statement.
TRIGGERS = """
CREATE FUNCTION documents_comes_into() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM documents_knowledgebase
    WHERE id = NEW.knowledge_base_id AND deleted_at IS NULL FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'knowledge base % is deleted', NEW.knowledge_base_id
        USING ERRCODE = 'foreign_key_violation',
            CONSTRAINT = 'document_in_a_knowledge_base_that_is_there';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER comes_into BEFORE INSERT ON documents_document
FOR EACH ROW EXECUTE FUNCTION documents_comes_into();

CREATE TRIGGER moves_into BEFORE UPDATE OF knowledge_base_id ON documents_document
FOR EACH ROW WHEN (OLD.knowledge_base_id <> NEW.knowledge_base_id)
EXECUTE FUNCTION documents_comes_into();
"""

NO_TRIGGERS = """
DROP TRIGGER moves_into ON documents_document;
DROP TRIGGER comes_into ON documents_document;
DROP FUNCTION documents_comes_into();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("documents", "0022_pages"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="knowledgebase",
            name="deleted_at",
            field=models.DateTimeField(
                editable=False, help_text="no way back from here", null=True
            ),
        ),
        migrations.AddField(
            model_name="knowledgebase",
            name="deleted_by",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="knowledgebase",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", False)),
                fields=["deleted_at"],
                name="knowledge_base_deleted",
            ),
        ),
        migrations.RunSQL(TRIGGERS, NO_TRIGGERS),
    ]
