-- What depends on the extension's functions: made by ets.init, and made again by
-- ets.arm. Idempotent. For :guarded_tables they put the names in
-- guarded_tables.txt. The gate's name sorts last, so that no other row trigger
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
-- A logical-replication apply worker fires no statement triggers.
CREATE OR REPLACE TRIGGER ets_guard_row BEFORE UPDATE OR DELETE ON ets.ledger_event
  FOR EACH ROW EXECUTE FUNCTION ets.guard();
ALTER TABLE ets.ledger_event ENABLE ALWAYS TRIGGER ets_guard;
ALTER TABLE ets.ledger_event ENABLE ALWAYS TRIGGER ets_guard_row;

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY[:guarded_tables] LOOP
    EXECUTE format(
      'CREATE OR REPLACE TRIGGER ets_guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ets.%I
         FOR EACH STATEMENT EXECUTE FUNCTION ets.guard()', name);
    EXECUTE format('ALTER TABLE ets.%I ENABLE ALWAYS TRIGGER ets_guard', name);
    EXECUTE format(
      'CREATE OR REPLACE TRIGGER ets_guard_row BEFORE INSERT OR UPDATE OR DELETE ON ets.%I
         FOR EACH ROW EXECUTE FUNCTION ets.guard()', name);
    EXECUTE format('ALTER TABLE ets.%I ENABLE ALWAYS TRIGGER ets_guard_row', name);
  END LOOP;
END
$$;

-- What COPY fills with the lines of an export: a statement is one import.
CREATE OR REPLACE VIEW ets.import_lines AS SELECT NULL::text AS line WHERE false;
COMMENT ON VIEW ets.import_lines IS 'COPY the lines of an export into it: one statement is one import, as by ets.import';
CREATE OR REPLACE TRIGGER ets_import_begin BEFORE INSERT ON ets.import_lines
  FOR EACH STATEMENT EXECUTE FUNCTION ets.import_lines();
CREATE OR REPLACE TRIGGER ets_import_line INSTEAD OF INSERT ON ets.import_lines
  FOR EACH ROW EXECUTE FUNCTION ets.import_lines();
CREATE OR REPLACE TRIGGER ets_import_end AFTER INSERT ON ets.import_lines
  FOR EACH STATEMENT EXECUTE FUNCTION ets.import_lines();

CREATE OR REPLACE VIEW ets.streams AS
  SELECT head.domain, head.stream, head.sequence AS events, head.last_event_id,
         head.last_timestamp AS last_appended_at, head.head_hash
    FROM ets.stream_head AS head
   WHERE head.sequence > 0;
COMMENT ON VIEW ets.streams IS 'Every stream that has an event, and its head';

CREATE OR REPLACE VIEW ets.open_findings AS
  SELECT finding.finding_id, run.check_name AS run, finding.class, finding.domain, finding.stream, finding.sequence,
         finding.event_id, finding.check_name, finding.expected, finding.actual, finding.detail, finding.found_at,
         last.finished_at AS last_found_at
    FROM ets.finding AS finding
    JOIN ets.verification_run AS run ON run.run_id = finding.run_id
    LEFT JOIN ets.verification_run AS last ON last.run_id = finding.last_run_id
   WHERE NOT EXISTS (
           SELECT FROM ets.verification_run AS later
            WHERE later.check_name = run.check_name AND later.run_id > finding.last_run_id
              AND later.verdict = 'MATCH' AND NOT later.incremental
              AND (later.domain IS NULL OR later.domain = finding.domain));
COMMENT ON VIEW ets.open_findings IS 'Findings that no full run of the same check has closed since by finding nothing';

CREATE OR REPLACE VIEW ets.authority AS
  WITH server (key_id) AS (
    SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.decode(event.payload ->> CASE event.schema_version
             WHEN 'ets.server_key/1.0.0' THEN 'public_key' ELSE 'server_public_key' END, 'hex')), 'hex')
      FROM ets.ledger_event AS event
     WHERE event.domain = 'ets.registry' AND event.stream = 'main'
       AND (event.sequence = 1 OR event.schema_version = 'ets.server_key/1.0.0')
     ORDER BY event.sequence DESC LIMIT 1
  ), held (key_id, domain, schemas, streams, granted_at) AS (
    SELECT key_id, domain, schemas, streams, granted_at FROM ets.authority_grant WHERE revoked_at IS NULL
     UNION ALL
    -- It is granted nothing: what the server states, it signs.
    SELECT key.key_id, 'ets.audit' AS domain, '*' AS schemas, '*' AS streams, key.registered_at AS granted_at FROM server JOIN ets.signing_key AS key USING (key_id)
  )
  SELECT key.owner, key.key_id, key.custody, held.domain, held.schemas, held.streams,
         held.domain = 'ets.registry' AND held.schemas = '*' AND held.streams = '*' AS is_root,
         key.not_before, key.not_after, held.granted_at AS registry_sequence, event."timestamp" AS granted_on
    FROM held
    JOIN ets.signing_key AS key USING (key_id)
    LEFT JOIN ets.ledger_event AS event
      ON event.domain = 'ets.registry' AND event.stream = 'main' AND event.sequence = held.granted_at
   WHERE key.revoked_at IS NULL AND key.superseded_by IS NULL
     AND (key.not_before IS NULL OR key.not_before <= pg_catalog.now())
     AND (key.not_after IS NULL OR key.not_after >= pg_catalog.now());
COMMENT ON VIEW ets.authority IS 'Who may append what now: a row for each grant of each key that is valid at this moment';

CREATE OR REPLACE VIEW ets.signatures AS
  SELECT coalesce(key.custody, 'unknown') AS custody, key.owner, event.key_id, pg_catalog.count(*) AS events,
         pg_catalog.min(event."timestamp") AS first_at, pg_catalog.max(event."timestamp") AS last_at
    FROM ets.ledger_event AS event
    LEFT JOIN ets.signing_key AS key ON key.key_id = event.key_id
   GROUP BY key.custody, key.owner, event.key_id;
COMMENT ON VIEW ets.signatures IS 'How many events each key signed, those that an actor holds (custody actor) apart from those on this server (custody server); reads every event';

CREATE OR REPLACE VIEW ets.registry_history AS
  WITH change AS (
    SELECT event.sequence, event."timestamp", event.event_id, event.key_id AS by_key_id, event.payload,
           pg_catalog.split_part(pg_catalog.split_part(event.schema_version, '/', 1), '.', 2) AS kind,
           CASE WHEN event.schema_version IN ('ets.key/1.0.0', 'ets.key_rotation/1.0.0', 'ets.server_key/1.0.0')
                THEN pg_catalog.encode(pg_catalog.sha256(pg_catalog.decode(event.payload ->> 'public_key', 'hex')), 'hex') END AS new_key_id
      FROM ets.ledger_event AS event
     WHERE event.domain = 'ets.registry' AND event.stream = 'main'
  )
  SELECT change.sequence, change."timestamp", change.kind,
         coalesce(change.new_key_id, change.payload ->> 'key_id', change.payload ->> 'name', change.payload ->> 'domain',
                  change.payload ->> 'origin') AS subject,
         CASE change.kind
           WHEN 'ledger' THEN pg_catalog.concat('ledger ', change.payload ->> 'origin', ' begun')
           WHEN 'domain' THEN pg_catalog.concat('domain ', change.payload ->> 'domain', ' created')
           WHEN 'schema' THEN pg_catalog.concat('schema ', change.payload ->> 'name', ' of ', change.payload ->> 'domain', ' registered')
           WHEN 'schema_retirement' THEN pg_catalog.concat('schema ', change.payload ->> 'name', ' retired: ', change.payload ->> 'reason')
           WHEN 'rule_function' THEN pg_catalog.concat('function ', change.payload ->> 'function', ' made a rule of ', change.payload ->> 'name')
           WHEN 'key' THEN pg_catalog.concat('key of ', registered.owner, ' registered',
             ', from ' || (change.payload ->> 'not_before'), ', until ' || (change.payload ->> 'not_after'))
           WHEN 'key_rotation' THEN pg_catalog.concat('key ', change.payload ->> 'key_id', ' of ', concerned.owner, ' replaced by ', change.new_key_id)
           WHEN 'key_revocation' THEN pg_catalog.concat('key of ', concerned.owner, ' revoked: ', change.payload ->> 'reason',
             ', compromised since ' || (change.payload ->> 'compromised_since'))
           WHEN 'server_key' THEN pg_catalog.concat('the server''s key replaced: ', change.payload ->> 'reason',
             ', the old one compromised since ' || (change.payload ->> 'compromised_since'))
           WHEN 'grant' THEN pg_catalog.concat(concerned.owner, ' may append ', change.payload ->> 'schemas', ' to streams ',
             change.payload ->> 'streams', ' of ', change.payload ->> 'domain')
           WHEN 'grant_revocation' THEN pg_catalog.concat(concerned.owner, ' may no longer append ', change.payload ->> 'schemas', ' to streams ',
             change.payload ->> 'streams', ' of ', change.payload ->> 'domain', ': ' || (change.payload ->> 'reason'))
         END AS change,
         signer.owner AS by_owner, change.by_key_id, change.event_id
    FROM change
    LEFT JOIN ets.signing_key AS registered ON registered.key_id = change.new_key_id
    LEFT JOIN ets.signing_key AS concerned ON concerned.key_id = change.payload ->> 'key_id'
    LEFT JOIN ets.signing_key AS signer ON signer.key_id = change.by_key_id;
COMMENT ON VIEW ets.registry_history IS 'What changed in the registry, when, and by whom: a row for each of its events, in words';

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
    'ALTER EXTENSION', 'ALTER FOREIGN TABLE', 'ALTER FUNCTION', 'ALTER INDEX', 'ALTER PROCEDURE', 'ALTER ROUTINE',
    'ALTER SCHEMA', 'ALTER TABLE', 'ALTER TRIGGER', 'ALTER VIEW', 'CREATE EXTENSION', 'CREATE FOREIGN TABLE', 'CREATE FUNCTION',
    'CREATE PROCEDURE', 'CREATE RULE', 'CREATE TABLE', 'CREATE TRIGGER', 'CREATE VIEW', 'DROP FOREIGN TABLE',
    'DROP FUNCTION', 'DROP INDEX', 'DROP OWNED', 'DROP PROCEDURE', 'DROP ROUTINE', 'DROP SCHEMA', 'DROP TABLE',
    'DROP TRIGGER', 'DROP VIEW'
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
        ('ets_guard', 'ledger_event'), ('ets_guard_row', 'ledger_event')
      ) AS guard (trigger, relation)
     UNION ALL
    SELECT 'trigger', pg_catalog.concat(trigger, ' on ets.', relation)
      FROM pg_catalog.unnest(ARRAY[:guarded_tables]) AS guarded (relation),
           pg_catalog.unnest(ARRAY['ets_guard', 'ets_guard_row']) AS guard (trigger)
     UNION ALL
    SELECT 'event trigger', name FROM (VALUES ('ets_ddl_start'), ('ets_ddl_end')) AS guard (name)
  ), armed (kind, name) AS (
    SELECT 'trigger', pg_catalog.concat(trigger.tgname, ' on ets.', class.relname)
      FROM pg_catalog.pg_trigger AS trigger
      JOIN pg_catalog.pg_class AS class ON class.oid = trigger.tgrelid
      JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
     WHERE namespace.nspname = 'ets' AND trigger.tgenabled = 'A'
     UNION ALL
    -- From PostgreSQL 17 a setting can silence all event triggers.
    SELECT 'event trigger' AS kind, evtname::text AS name FROM pg_catalog.pg_event_trigger
     WHERE evtenabled = 'A' AND coalesce(pg_catalog.current_setting('event_triggers', true), 'on') = 'on'
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
      FROM ets.domain_root AS root JOIN last USING (checkpoint_id)
     WHERE root.domain <> 'ets.audit' AND (root.domain = 'ets.registry' OR NOT EXISTS (
             SELECT FROM ets.receiver WHERE receiver.domain <> root.domain))
  ), first AS (
    -- Before the first checkpoint there is nothing that could be overdue.
    SELECT pg_catalog.min(created_at) AS sealed_at FROM ets.checkpoint
  ), setting AS (
    SELECT coalesce(pg_catalog.current_setting('ets.rebuild_period', true), '1 day')::interval AS rebuild_period
  ), due (check_name, item, within) AS (
    SELECT check_name, item, greatest(within, CASE check_name WHEN 'rebuild' THEN within ELSE setting.rebuild_period + interval '1 hour' END)
      FROM setting, (VALUES ('rebuild', 'rebuild', interval '30 minutes'), ('verify', 'verification', interval '25 hours'),
                            ('replay', 'replay', interval '25 hours')) AS each (check_name, item, within)
  ), run AS (
    SELECT DISTINCT ON (check_name) * FROM ets.verification_run
     WHERE verdict IS NOT NULL AND domain IS NULL ORDER BY check_name, run_id DESC
  ), whole AS (
    SELECT check_name, pg_catalog.max(finished_at) AS finished_at, (pg_catalog.array_agg(last_cycle ORDER BY run_id DESC))[1] AS last_cycle
      FROM ets.verification_run
     WHERE verdict IS NOT NULL AND domain IS NULL
       AND (NOT incremental OR cycle_started_at IS NOT NULL AND scan_position IS NULL)
     GROUP BY check_name
  ), anchored AS (
    SELECT coalesce(pg_catalog.max(checkpoint_id), 0) AS checkpoint_id FROM ets.anchor WHERE state = 'confirmed'
  ), begun AS (
    SELECT coalesce((SELECT created_at FROM last), (SELECT pg_catalog.min(last_timestamp) FROM ets.stream_head)) AS since
  )
  SELECT 'ledger' AS item, CASE WHEN streams.events > 0 THEN 'ok' ELSE 'warning' END AS state,
         ledger.origin AS value,
         pg_catalog.concat('id ', ledger.ledger_id, ', layout ', ledger.layout_version,
           CASE WHEN streams.events = 0 THEN ': waits for its first event, signed by the root key' END) AS detail
    FROM ets.ledger, streams
   UNION ALL
  SELECT 'version', CASE WHEN extension.extversion = files.default_version THEN 'ok' ELSE 'warning' END, extension.extversion,
         CASE WHEN extension.extversion <> files.default_version
              THEN files.default_version || ' is installed: ALTER EXTENSION pg_ets UPDATE, then SELECT ets.arm()' END
    FROM pg_catalog.pg_extension AS extension
    JOIN pg_catalog.pg_available_extensions() AS files (name, default_version, comment) ON files.name = extension.extname
   WHERE extension.extname = 'pg_ets'
   UNION ALL
  SELECT 'authority', CASE WHEN keys > 1 THEN 'ok' ELSE 'warning' END, pg_catalog.concat(keys, CASE keys WHEN 1 THEN ' root key' ELSE ' root keys' END),
         CASE WHEN keys > 1 THEN NULL
              ELSE 'register a second root key and keep it elsewhere: if this one is lost, nobody can register keys again' END
    FROM root_keys
   UNION ALL
  SELECT 'guards', CASE WHEN armed = expected THEN 'ok' ELSE 'failed' END,
         pg_catalog.concat(armed, ' of ', expected, ' armed'),
         'not armed: ' || missing || CASE pg_catalog.current_setting('event_triggers', true)
           WHEN 'off' THEN '; set event_triggers = on, then SELECT ets.arm()' ELSE '; SELECT ets.arm()' END
    FROM guards
   UNION ALL
  SELECT 'seal',
         CASE WHEN streams.events <= sealed.events THEN 'ok'
              WHEN begun.since < pg_catalog.now() - interval '10 minutes' THEN 'overdue'
              ELSE 'ok' END,
         coalesce((SELECT pg_catalog.concat('checkpoint ', checkpoint_id, ', ',
                     pg_catalog.date_trunc('second', pg_catalog.now() - created_at), ' ago') FROM last), 'none yet'),
         CASE WHEN streams.events <= sealed.events THEN NULL
              WHEN EXISTS (SELECT FROM ets.receiver WHERE promoted_at IS NULL) THEN 'the checkpoint comes from where the events come from'
              ELSE 'SELECT ets.seal(), at best by a schedule' END
    FROM streams, sealed, begun
   UNION ALL
  SELECT 'replica',
         CASE WHEN receiver.promoted_at IS NOT NULL AND receiver.promotion_id IS NULL THEN 'warning'
              WHEN receiver.promoted_at IS NOT NULL THEN 'ok'
              WHEN subscription.refusals > 0 AND subscription.working < subscription.subscriptions THEN 'failed'
              WHEN subscription.refusals > 0 OR subscription.working < subscription.subscriptions THEN 'warning'
              ELSE 'ok' END,
         CASE WHEN receiver.promoted_at IS NOT NULL THEN 'promoted at ' || receiver.promoted_at
              ELSE pg_catalog.concat('receives ', coalesce('ets.registry and ' || receiver.domain, 'all domains'), '; ',
                     subscription.working, ' of ', subscription.subscriptions, ' subscriptions at work, ',
                     subscription.refusals, ' refused changes') END,
         CASE WHEN receiver.promoted_at IS NOT NULL AND receiver.promotion_id IS NULL
              THEN 'the promotion is not declared: with the server''s key here, SELECT ets.promote()'
              WHEN subscription.refusals > 0 AND receiver.promoted_at IS NULL
              THEN 'SELECT * FROM ets.open_findings and the server''s log say what was refused' END
    FROM ets.receiver CROSS JOIN (
      SELECT pg_catalog.count(*) AS subscriptions, pg_catalog.count(work.subid) AS working,
             coalesce(pg_catalog.sum(stats.apply_error_count + stats.sync_error_count), 0) AS refusals
        FROM pg_catalog.pg_subscription AS each
        JOIN pg_catalog.pg_database AS database
          ON database.oid = each.subdbid AND database.datname = pg_catalog.current_database()
        -- From PostgreSQL 16 one may have several workers.
        LEFT JOIN (SELECT DISTINCT subid FROM pg_catalog.pg_stat_subscription WHERE relid IS NULL AND pid IS NOT NULL) AS work
          ON work.subid = each.oid
        LEFT JOIN pg_catalog.pg_stat_subscription_stats AS stats ON stats.subid = each.oid
    ) AS subscription
   UNION ALL
  SELECT 'unsealed events', CASE WHEN streams.events < sealed.events THEN 'failed' ELSE 'ok' END,
         (streams.events - sealed.events)::text,
         CASE WHEN streams.events < sealed.events THEN 'fewer events than sealed leaves: run ets.verify_ledger()' END
    FROM streams, sealed
   UNION ALL
  -- A check that has not run for too long is overdue: silence is not health.
  SELECT due.item,
         CASE WHEN coalesce(run.finished_at, first.sealed_at) < pg_catalog.now() - due.within THEN 'overdue'
              WHEN run.verdict = 'MISMATCH' THEN 'failed'
              WHEN run.verdict = 'UNVERIFIABLE' THEN 'warning'
              ELSE 'ok' END,
         CASE WHEN run.run_id IS NULL THEN 'none yet'
              ELSE pg_catalog.concat(run.verdict, ', ', pg_catalog.date_trunc('second', pg_catalog.now() - run.finished_at), ' ago, ',
                     run.events, ' events in ', run.working_time) END,
         (SELECT pg_catalog.concat('run ', open.run_id, ' is unfinished: ', open.events, ' events so far')
            FROM ets.verification_run AS open
           WHERE open.check_name = due.check_name AND open.verdict IS NULL ORDER BY open.run_id DESC LIMIT 1)
    FROM first CROSS JOIN due LEFT JOIN run USING (check_name)
   UNION ALL
  SELECT 'full verification',
         CASE WHEN coalesce(whole.finished_at, first.sealed_at) < pg_catalog.now() - 1.25 * setting.rebuild_period - interval '1 hour'
              THEN 'overdue' ELSE 'ok' END,
         coalesce(pg_catalog.date_trunc('second', pg_catalog.now() - whole.finished_at) || ' ago', 'none yet'),
         'everything, in one run or as the rolling part of many'
    FROM first CROSS JOIN setting LEFT JOIN whole ON whole.check_name = 'verify'
   UNION ALL
  SELECT 'rebuild period',
         CASE WHEN coalesce(whole.finished_at, first.sealed_at) < pg_catalog.now() - 1.25 * setting.rebuild_period
              THEN 'overdue' ELSE 'ok' END,
         coalesce(whole.last_cycle::text, 'none yet'),
         pg_catalog.concat('the last time that every event was rehashed; ets.rebuild_period is ', setting.rebuild_period)
    FROM first CROSS JOIN setting LEFT JOIN whole ON whole.check_name = 'rebuild'
   UNION ALL
  SELECT 'open findings', CASE WHEN pg_catalog.count(*) = 0 THEN 'ok'
              WHEN pg_catalog.bool_and(class = 'compromised') THEN 'warning' ELSE 'failed' END, pg_catalog.count(*)::text,
         CASE WHEN pg_catalog.count(*) > 0 THEN 'SELECT * FROM ets.open_findings' END
    FROM ets.open_findings
   UNION ALL
  SELECT 'origin of the data', CASE WHEN moved.place IS NULL THEN 'ok' ELSE 'warning' END,
         CASE WHEN moved.place IS NOT NULL THEN 'unverified since restore'
              WHEN moved.from_elsewhere THEN 'verified since restore' ELSE 'as made here' END,
         'another ' || moved.place || ' than recorded: SELECT * FROM ets.verify_ledger()'
    FROM (
      SELECT pg_catalog.count(*) > 0 AS from_elsewhere, pg_catalog.string_agg(place, ', ') FILTER (WHERE NOT EXISTS (
               -- A full verification here ends it.
               SELECT FROM ets.verification_run AS run, pg_catalog.pg_control_system() AS system
                 JOIN pg_catalog.pg_database AS database ON database.datname = pg_catalog.current_database()
                WHERE run.check_name = 'verify' AND run.verdict = 'MATCH' AND NOT run.incremental AND run.domain IS NULL
                  AND run.system_identifier = system.system_identifier AND run.database_oid = database.oid
                  AND run.relation_oid = 'ets.ledger_event'::pg_catalog.regclass)) AS place
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
  -- A tree only grows: what anchors a checkpoint anchors those before it.
  SELECT 'unanchored checkpoints', CASE pg_catalog.count(*) WHEN 0 THEN 'ok' ELSE 'warning' END, pg_catalog.count(*)::text,
         CASE WHEN pg_catalog.count(*) > 0
              THEN 'what was sealed since is proven only against checkpoints kept elsewhere: ets anchor publishes them' END
    FROM ets.checkpoint, anchored
   WHERE checkpoint.checkpoint_id > anchored.checkpoint_id
   UNION ALL
  SELECT 'anchor lag' AS item,
         CASE WHEN anchored.checkpoint_id > 0 AND pg_catalog.min(checkpoint.created_at) < pg_catalog.now() - interval '1 day'
              THEN 'overdue' ELSE 'ok' END AS state,
         CASE WHEN anchored.checkpoint_id = 0 THEN 'none yet'
              ELSE coalesce(pg_catalog.date_trunc('second', pg_catalog.now() - pg_catalog.min(checkpoint.created_at))::text, '00:00:00') END AS value,
         'the age of the oldest checkpoint that no confirmed anchor covers; overdue after a day' AS detail
    FROM anchored LEFT JOIN ets.checkpoint ON checkpoint.checkpoint_id > anchored.checkpoint_id
   GROUP BY anchored.checkpoint_id
   UNION ALL
  SELECT 'failed anchors', CASE pg_catalog.count(*) WHEN 0 THEN 'ok' ELSE 'warning' END, pg_catalog.count(*)::text,
         CASE WHEN pg_catalog.count(*) > 0
              THEN 'SELECT * FROM ets.anchor WHERE state = ''failed'' says why; ets anchor tries again' END
    FROM ets.anchor AS failed
   WHERE state = 'failed'
     -- What a later one covers is no loss; what trying again cannot help is for people.
     AND (next_attempt IS NULL
          OR NOT EXISTS (SELECT FROM ets.anchor AS later
                          WHERE later.service = failed.service AND later.state = 'confirmed'
                            AND later.checkpoint_id > failed.checkpoint_id))
   UNION ALL
  SELECT 'high water', CASE WHEN setting.directory IS NULL THEN 'warning' ELSE 'ok' END,
         coalesce(setting.directory, 'not written'),
         CASE WHEN setting.directory IS NULL
              THEN 'set ets.high_water_directory, outside the data directory: without it nothing here tells an older copy of the data' END
    FROM (SELECT nullif(pg_catalog.current_setting('ets.high_water_directory', true), '') AS directory) AS setting
   UNION ALL
  SELECT 'server key', CASE WHEN key.key_id IS NOT NULL AND key.revoked_at IS NULL THEN 'ok' ELSE 'warning' END,
         coalesce(key.key_id, ledger.server_key_id),
         CASE WHEN key.key_id IS NULL THEN 'not registered yet'
              WHEN key.revoked_at IS NOT NULL THEN 'revoked: seals go on without signed notes' END
    FROM ets.ledger
    LEFT JOIN LATERAL (
      SELECT event.payload ->> 'public_key' AS public_key FROM ets.ledger_event AS event
       WHERE event.domain = 'ets.registry' AND event.stream = 'main' AND event.schema_version = 'ets.server_key/1.0.0'
       ORDER BY event.sequence DESC LIMIT 1
    ) AS replaced ON true
    LEFT JOIN ets.signing_key AS key ON key.public_key = coalesce(pg_catalog.decode(replaced.public_key, 'hex'), ledger.server_public_key);
COMMENT ON VIEW ets.status IS 'What a DBA should know of the ledger: an item a row, its state ok, warning, overdue or failed';
