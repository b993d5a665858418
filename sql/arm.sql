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
