-- LumiKB's roles: each has its own share of the server's connections, so that none can take those of
-- another, and its own time limits. lumikb_ops (relay, reconcile, health, metrics) can also use the
-- reserved ones (postgresql.conf): it gets in when all others are taken, by strangers too.
--
-- Run it as a superuser, once for a server and after an upgrade; it can be run again. Passwords are
-- not in it: ALTER ROLE lumikb_web PASSWORD '...'. The numbers are explained in deploy/README.md.
-- A blank line ends each statement, for `postgres --single -j`.

DO $$
DECLARE
  role text;
BEGIN
  FOREACH role IN ARRAY ARRAY['lumikb', 'lumikb_web', 'lumikb_worker', 'lumikb_ops'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
      EXECUTE format('CREATE ROLE %I LOGIN', role);
    END IF;
    -- A migration that cannot get its lock gives way to those who work; run it again.
    EXECUTE format('ALTER ROLE %I SET lock_timeout = ''5s''', role);
    IF role <> 'lumikb' THEN
      EXECUTE format('ALTER ROLE %I SET statement_timeout = ''30s''', role);
      EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''60s''', role);
    END IF;
  END LOOP;
END $$;

ALTER ROLE lumikb CONNECTION LIMIT 10;

ALTER ROLE lumikb_web CONNECTION LIMIT 60;

-- Fifty workers, and ten: a session outlives its killed worker while it waits for a lock.
ALTER ROLE lumikb_worker CONNECTION LIMIT 160;

ALTER ROLE lumikb_ops CONNECTION LIMIT 30;

GRANT pg_use_reserved_connections, pg_monitor TO lumikb_ops;

