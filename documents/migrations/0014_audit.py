"""The audit: what people do becomes a line where it is written down anyway, without a statement
more; and the web and the workers cannot change or delete a line.
"""

from django.conf import settings
from django.db import migrations

TRIGGERS = """
CREATE FUNCTION documents_audit_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO documents_auditentry
        (at, action, person_id, person, document_id, knowledge_base_id, what, detail)
    SELECT NEW.created_at,
           CASE NEW.kind WHEN 'registered' THEN 'uploaded' WHEN 'purge' THEN 'purged'
                         ELSE NEW.kind END,
           NEW.by_id,
           coalesce((SELECT username FROM auth_user WHERE id = NEW.by_id), ''),
           NEW.document_id, document.knowledge_base_id, coalesce(document.filename, ''), NEW.detail
    FROM (SELECT) AS event LEFT JOIN documents_document AS document ON document.id = NEW.document_id;
    RETURN NULL;
END $$;

CREATE TRIGGER documents_audit_event AFTER INSERT ON documents_documentevent
FOR EACH ROW WHEN (NEW.by_id IS NOT NULL) EXECUTE FUNCTION documents_audit_event();

CREATE FUNCTION documents_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed text;
BEGIN
    SELECT model INTO changed FROM django_content_type WHERE id = NEW.content_type_id;
    INSERT INTO documents_auditentry (at, action, person_id, person, knowledge_base_id, what, detail)
    VALUES (NEW.action_time,
            CASE WHEN changed = 'knowledgebase' AND NEW.change_message LIKE '%"membership"%'
                 THEN 'shared' ELSE 'changed' END,
            NEW.user_id,
            coalesce((SELECT username FROM auth_user WHERE id = NEW.user_id), ''),
            CASE WHEN changed = 'knowledgebase' THEN NEW.object_id::bigint END,
            left(concat_ws(': ', changed, NEW.object_repr), 255),
            left(concat_ws(' ', CASE NEW.action_flag WHEN 1 THEN 'added' WHEN 2 THEN 'changed'
                                                     WHEN 3 THEN 'deleted' END,
                           nullif(nullif(NEW.change_message, ''), '[]')), 500));
    RETURN NULL;
END $$;

CREATE TRIGGER documents_audit_change AFTER INSERT ON django_admin_log
FOR EACH ROW EXECUTE FUNCTION documents_audit_change();
"""

NO_TRIGGERS = """
DROP TRIGGER documents_audit_change ON django_admin_log;
DROP FUNCTION documents_audit_change();
DROP TRIGGER documents_audit_event ON documents_documentevent;
DROP FUNCTION documents_audit_event();
"""

# As deploy/postgres/grants.sql has it, which is run before there is this table.
APPEND_ONLY = """
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['lumikb_web', 'lumikb_worker'] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON documents_auditentry FROM %I', name);
        END IF;
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("contenttypes", "0002_remove_content_type_name"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("documents", "0013_finished"),
    ]

    operations = [
        migrations.RunSQL(TRIGGERS, NO_TRIGGERS),
        migrations.RunSQL(APPEND_ONLY, migrations.RunSQL.noop),
    ]
