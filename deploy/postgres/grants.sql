-- What the roles may do in LumiKB's database: all with the rows, nothing with the tables, which are
-- the owner's (lumikb, who migrates). Run it in that database, as its owner or a superuser, once and
-- after a restore; it can be run again. A blank line ends each statement, for `postgres --single -j`.

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public
  TO lumikb_web, lumikb_worker, lumikb_ops;

GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO lumikb_web, lumikb_worker, lumikb_ops;

ALTER DEFAULT PRIVILEGES FOR ROLE lumikb IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO lumikb_web, lumikb_worker, lumikb_ops;

ALTER DEFAULT PRIVILEGES FOR ROLE lumikb IN SCHEMA public
  GRANT USAGE, SELECT ON SEQUENCES TO lumikb_web, lumikb_worker, lumikb_ops;

-- Lines of the audit are written once: only lumikb_ops removes them, when AUDIT_DAYS are over.
DO $$
BEGIN
  IF to_regclass('public.documents_auditentry') IS NOT NULL THEN
    REVOKE UPDATE, DELETE, TRUNCATE ON documents_auditentry FROM lumikb_web, lumikb_worker;
  END IF;
END $$;
