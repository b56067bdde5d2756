from django.db import migrations, models

STATES = """
CREATE FUNCTION documents_states(document documents_document) RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN document.purging_at IS NOT NULL THEN '{}'
        WHEN document.deleted_at IS NOT NULL THEN '{deleted}'
        WHEN document.status IN ('pending', 'processing') THEN '{unfinished}'
        WHEN document.status = 'failed' THEN ARRAY['failed', 'failed ' || document.failure_code]
        WHEN document.unread = '[]' THEN '{ready}'
        ELSE '{ready,partly_read}' || (
            SELECT array_agg(DISTINCT 'unread ' || (entry ->> 'kind'))
            FROM jsonb_array_elements(document.unread) AS entry
        )
    END
$$
"""

# Of a row only what changes in these columns is counted; a worker's progress fires nothing.
TRIGGERS = """
CREATE FUNCTION documents_count_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO documents_documentcount (knowledge_base, person, state, documents, bytes)
    SELECT NEW.knowledge_base_id, COALESCE(NEW.uploaded_by_id, 0), state, 1, NEW.size
    FROM unnest(documents_states(NEW)) AS state
    UNION ALL
    SELECT OLD.knowledge_base_id, COALESCE(OLD.uploaded_by_id, 0), state, -1, -OLD.size
    FROM unnest(documents_states(OLD)) AS state;
    RETURN NULL;
END $$;

CREATE FUNCTION documents_count_many() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    sign integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
BEGIN
    INSERT INTO documents_documentcount (knowledge_base, person, state, documents, bytes)
    SELECT knowledge_base_id, COALESCE(uploaded_by_id, 0), state,
        sign * count(*), sign * sum(size)
    FROM changed, unnest(documents_states(changed)) AS state
    GROUP BY 1, 2, 3;
    RETURN NULL;
END $$;

CREATE TRIGGER count_changed
    AFTER UPDATE OF status, deleted_at, purging_at, unread, failure_code,
        knowledge_base_id, uploaded_by_id, size
    ON documents_document FOR EACH ROW
    WHEN (documents_states(OLD) <> documents_states(NEW)
        OR OLD.knowledge_base_id <> NEW.knowledge_base_id OR OLD.size <> NEW.size
        OR OLD.uploaded_by_id IS DISTINCT FROM NEW.uploaded_by_id)
    EXECUTE FUNCTION documents_count_changed();

CREATE TRIGGER count_inserted AFTER INSERT ON documents_document
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION documents_count_many();

CREATE TRIGGER count_removed AFTER DELETE ON documents_document
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION documents_count_many();
"""

UNDO = """
DROP TRIGGER count_changed ON documents_document;
DROP TRIGGER count_inserted ON documents_document;
DROP TRIGGER count_removed ON documents_document;
DROP FUNCTION documents_count_changed, documents_count_many, documents_states;
"""

# Nobody writes between the triggers and this: they have the table's lock until the commit.
COUNT = """
INSERT INTO documents_documentcount (knowledge_base, person, state, documents, bytes)
SELECT knowledge_base_id, COALESCE(uploaded_by_id, 0), state, count(*), sum(size)
FROM documents_document AS document, unnest(documents_states(document)) AS state
GROUP BY 1, 2, 3
"""


class Migration(migrations.Migration):
    """Queues in the outbox, and numbers that are kept. Quick, but for one look at all documents."""

    dependencies = [
        ("documents", "0018_recognised"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="document",
            options={
                "ordering": ["-created_at", "-pk"],
                "permissions": [
                    ("open_document", "Can open the file of any document, which is recorded")
                ],
            },
        ),
        migrations.AddField(
            model_name="document",
            name="is_posted",
            field=models.BooleanField(
                db_default=False, default=False, help_text="that message has left the outbox"
            ),
        ),
        migrations.AddField(
            model_name="outboxmessage",
            name="base",
            field=models.BigIntegerField(db_default=0, default=0, help_text="knowledge base"),
        ),
        migrations.AddField(
            model_name="outboxmessage",
            name="is_due",
            field=models.BooleanField(db_default=False, default=False, help_text="in the queue"),
        ),
        migrations.AddField(
            model_name="outboxmessage",
            name="person",
            field=models.BigIntegerField(db_default=0, default=0, help_text="uploader; 0: nobody"),
        ),
        migrations.CreateModel(
            name="DocumentCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("knowledge_base", models.BigIntegerField()),
                ("person", models.BigIntegerField(help_text="uploader; 0: nobody")),
                ("state", models.CharField(max_length=60)),
                ("documents", models.BigIntegerField()),
                ("bytes", models.BigIntegerField()),
                ("is_sum", models.BooleanField(db_default=False, default=False)),
            ],
        ),
        migrations.AddConstraint(
            model_name="documentcount",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_sum", True)),
                fields=("knowledge_base", "person", "state"),
                name="one_sum_of_documents",
            ),
        ),
        migrations.AddIndex(
            model_name="documentcount",
            index=models.Index(
                condition=models.Q(("is_sum", False)),
                fields=["knowledge_base", "person"],
                name="count_changes",
            ),
        ),
        migrations.AlterModelOptions(name="knowledgebase", options={"ordering": ["name", "pk"]}),
        migrations.AddIndex(
            model_name="knowledgebase",
            index=models.Index(fields=["name", "id"], name="knowledge_base_name"),
        ),
        migrations.RunSQL(STATES + ";" + TRIGGERS, UNDO),
        migrations.RunSQL(COUNT, migrations.RunSQL.noop),
    ]
