-- What depends on the extension's functions: made by ets.init, and made again by
-- ets.arm. Idempotent. The gate's name sorts last, so that no other row trigger
-- changes a row behind it.

ALTER TABLE ets.ledger_event ALTER COLUMN event_id SET DEFAULT ets.uuid_v7();

CREATE OR REPLACE TRIGGER zz_ets_open BEFORE INSERT ON ets.ledger_event
  FOR EACH STATEMENT EXECUTE FUNCTION ets.gate();
CREATE OR REPLACE TRIGGER zz_ets_gate BEFORE INSERT ON ets.ledger_event
  FOR EACH ROW EXECUTE FUNCTION ets.gate();
CREATE OR REPLACE TRIGGER zz_ets_settle AFTER INSERT ON ets.ledger_event
  REFERENCING NEW TABLE AS stored FOR EACH STATEMENT EXECUTE FUNCTION ets.gate();
CREATE OR REPLACE TRIGGER ets_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON ets.ledger_event
  FOR EACH STATEMENT EXECUTE FUNCTION ets.guard();
ALTER TABLE ets.ledger_event ENABLE ALWAYS TRIGGER zz_ets_open;
ALTER TABLE ets.ledger_event ENABLE ALWAYS TRIGGER zz_ets_gate;
ALTER TABLE ets.ledger_event ENABLE ALWAYS TRIGGER zz_ets_settle;
ALTER TABLE ets.ledger_event ENABLE ALWAYS TRIGGER ets_guard;

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY[
    'ledger', 'stream_head', 'domain', 'schema_version', 'signing_key', 'authority_grant', 'local_key',
    'merkle_leaf', 'merkle_tile', 'checkpoint', 'domain_root', 'seal_position'
  ] LOOP
    EXECUTE format(
      'CREATE OR REPLACE TRIGGER ets_guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ets.%I
         FOR EACH STATEMENT EXECUTE FUNCTION ets.guard()', name);
    EXECUTE format('ALTER TABLE ets.%I ENABLE ALWAYS TRIGGER ets_guard', name);
  END LOOP;
END
$$;

CREATE OR REPLACE VIEW ets.streams AS
  SELECT head.domain, head.stream, head.sequence AS events, head.last_event_id,
         head.last_timestamp AS last_appended_at, head.head_hash
    FROM ets.stream_head AS head
   WHERE head.sequence > 0;
COMMENT ON VIEW ets.streams IS 'Every stream that has an event, and its head';

-- DDL that would disarm. Event triggers come last in a restore, so it meets
-- none of this.
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['ets_ddl_start', 'ets_ddl_end'] LOOP
    IF EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = name) THEN
      EXECUTE format('DROP EVENT TRIGGER %I', name);
    END IF;
  END LOOP;
END
$$;
CREATE EVENT TRIGGER ets_ddl_start ON ddl_command_start
  WHEN TAG IN (
    'ALTER EXTENSION', 'ALTER FOREIGN TABLE', 'ALTER FUNCTION', 'ALTER INDEX', 'ALTER ROUTINE', 'ALTER SCHEMA',
    'ALTER TABLE', 'ALTER TRIGGER', 'CREATE FOREIGN TABLE', 'CREATE FUNCTION', 'CREATE RULE', 'CREATE TABLE',
    'CREATE TRIGGER', 'DROP FOREIGN TABLE', 'DROP FUNCTION', 'DROP OWNED', 'DROP ROUTINE', 'DROP SCHEMA',
    'DROP TABLE', 'DROP TRIGGER'
  ) EXECUTE FUNCTION ets.ddl_guard();
CREATE EVENT TRIGGER ets_ddl_end ON ddl_command_end
  WHEN TAG IN ('ALTER TABLE', 'CREATE TRIGGER', 'DROP OWNED') EXECUTE FUNCTION ets.ddl_guard();
ALTER EVENT TRIGGER ets_ddl_start ENABLE ALWAYS;
ALTER EVENT TRIGGER ets_ddl_end ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER ets_ddl_start IS 'Refuses DDL that would disarm the ledger, as it starts';
COMMENT ON EVENT TRIGGER ets_ddl_end IS 'Refuses DDL that has disarmed the ledger, as it ends';

-- Names no function of the extension, so that it can be read without it.
CREATE OR REPLACE VIEW ets.status AS
  WITH expected (kind, name) AS (
    SELECT 'trigger', pg_catalog.concat(trigger, ' on ets.', relation)
      FROM (VALUES
        ('zz_ets_open', 'ledger_event'), ('zz_ets_gate', 'ledger_event'), ('zz_ets_settle', 'ledger_event'),
        ('ets_guard', 'ledger_event'), ('ets_guard', 'ledger'), ('ets_guard', 'stream_head'),
        ('ets_guard', 'domain'), ('ets_guard', 'schema_version'), ('ets_guard', 'signing_key'),
        ('ets_guard', 'authority_grant'), ('ets_guard', 'local_key'), ('ets_guard', 'merkle_leaf'),
        ('ets_guard', 'merkle_tile'), ('ets_guard', 'checkpoint'), ('ets_guard', 'domain_root'),
        ('ets_guard', 'seal_position')
      ) AS guard (trigger, relation)
     UNION ALL
    SELECT 'event trigger', name FROM (VALUES ('ets_ddl_start'), ('ets_ddl_end')) AS guard (name)
  ), armed (kind, name) AS (
    SELECT 'trigger', pg_catalog.concat(trigger.tgname, ' on ets.', class.relname)
      FROM pg_catalog.pg_trigger AS trigger
      JOIN pg_catalog.pg_class AS class ON class.oid = trigger.tgrelid
      JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
     WHERE namespace.nspname = 'ets' AND trigger.tgenabled = 'A'
     UNION ALL
    SELECT 'event trigger', evtname::text FROM pg_catalog.pg_event_trigger WHERE evtenabled = 'A'
  ), guards AS (
    SELECT pg_catalog.count(*) AS expected, pg_catalog.count(armed.name) AS armed,
           pg_catalog.string_agg(pg_catalog.concat(expected.kind, ' ', expected.name), ', ')
             FILTER (WHERE armed.name IS NULL) AS missing
      FROM expected LEFT JOIN armed USING (kind, name)
  ), root_keys AS (
    SELECT pg_catalog.count(DISTINCT key.key_id) AS keys
      FROM ets.signing_key AS key
      JOIN ets.authority_grant AS held ON held.key_id = key.key_id
     WHERE held.domain = 'ets.registry' AND held.schemas = '*' AND held.streams = '*' AND held.revoked_at IS NULL
       AND key.revoked_at IS NULL AND key.superseded_by IS NULL
       AND (key.not_before IS NULL OR key.not_before <= pg_catalog.now())
       AND (key.not_after IS NULL OR key.not_after >= pg_catalog.now())
  ), last AS (
    SELECT checkpoint_id, created_at FROM ets.checkpoint ORDER BY checkpoint_id DESC LIMIT 1
  ), streams AS (
    -- The server's own statements may wait for a day.
    SELECT coalesce(pg_catalog.sum(sequence), 0) AS events FROM ets.stream_head WHERE domain <> 'ets.audit'
  ), sealed AS (
    SELECT coalesce(pg_catalog.sum(root.tree_size), 0) AS events
      FROM ets.domain_root AS root JOIN last USING (checkpoint_id) WHERE root.domain <> 'ets.audit'
  ), begun AS (
    SELECT coalesce((SELECT created_at FROM last), (SELECT pg_catalog.min(last_timestamp) FROM ets.stream_head)) AS since
  )
  SELECT 'ledger' AS item, CASE WHEN streams.events > 0 THEN 'ok' ELSE 'warning' END AS state,
         ledger.origin AS value,
         pg_catalog.concat('id ', ledger.ledger_id, ', layout ', ledger.layout_version,
           CASE WHEN streams.events = 0 THEN ': waits for its first event, signed by the root key' END) AS detail
    FROM ets.ledger, streams
   UNION ALL
  SELECT 'authority', CASE WHEN keys > 1 THEN 'ok' ELSE 'warning' END, pg_catalog.concat(keys, CASE keys WHEN 1 THEN ' root key' ELSE ' root keys' END),
         CASE WHEN keys > 1 THEN NULL
              ELSE 'register a second root key and keep it elsewhere: if this one is lost, nobody can register keys again' END
    FROM root_keys
   UNION ALL
  SELECT 'guards', CASE WHEN armed = expected THEN 'ok' ELSE 'failed' END,
         pg_catalog.concat(armed, ' of ', expected, ' armed'),
         'not armed: ' || missing || '; SELECT ets.arm()'
    FROM guards
   UNION ALL
  SELECT 'seal',
         CASE WHEN streams.events <= sealed.events THEN 'ok'
              WHEN begun.since < pg_catalog.now() - interval '10 minutes' THEN 'overdue'
              ELSE 'ok' END,
         coalesce((SELECT pg_catalog.concat('checkpoint ', checkpoint_id, ', ',
                     pg_catalog.date_trunc('second', pg_catalog.now() - created_at), ' ago') FROM last), 'none yet'),
         CASE WHEN streams.events > sealed.events THEN 'SELECT ets.seal(), at best by a schedule' END
    FROM streams, sealed, begun
   UNION ALL
  SELECT 'unsealed events', CASE WHEN streams.events < sealed.events THEN 'failed' ELSE 'ok' END,
         (streams.events - sealed.events)::text,
         CASE WHEN streams.events < sealed.events THEN 'fewer events than sealed leaves: run ets.verify_ledger()' END
    FROM streams, sealed
   UNION ALL
  SELECT 'origin of the data', CASE WHEN moved.place IS NULL THEN 'ok' ELSE 'warning' END,
         CASE WHEN moved.place IS NULL THEN 'as made here' ELSE 'unverified since restore' END,
         'another ' || moved.place || ' than recorded: SELECT * FROM ets.verify_ledger()'
    FROM (
      SELECT pg_catalog.string_agg(place, ', ') AS place
        FROM (
          SELECT 'cluster' AS place FROM ets.ledger, pg_catalog.pg_control_system() AS system
           WHERE ledger.system_identifier <> system.system_identifier
           UNION ALL
          SELECT 'database' FROM ets.ledger
            JOIN pg_catalog.pg_database AS database ON database.datname = pg_catalog.current_database()
           WHERE ledger.database_oid <> database.oid
           UNION ALL
          SELECT 'table' FROM ets.seal_position
           WHERE seal_position.relation_oid <> 'ets.ledger_event'::pg_catalog.regclass
        ) AS places
    ) AS moved
   UNION ALL
  SELECT 'server key', CASE WHEN key.key_id IS NOT NULL AND key.revoked_at IS NULL THEN 'ok' ELSE 'warning' END,
         ledger.server_key_id,
         CASE WHEN key.key_id IS NULL THEN 'not registered yet'
              WHEN key.revoked_at IS NOT NULL THEN 'revoked: seals go on without signed notes' END
    FROM ets.ledger LEFT JOIN ets.signing_key AS key ON key.key_id = ledger.server_key_id;
COMMENT ON VIEW ets.status IS 'What a DBA should know of the ledger: an item a row, its state ok, warning, overdue or failed';
