-- The functions behind the triggers that ets.init and ets.arm put on the tables.

CREATE FUNCTION ets.gate() RETURNS trigger
  LANGUAGE c VOLATILE PARALLEL UNSAFE
  AS 'MODULE_PATHNAME', 'ets_gate';
COMMENT ON FUNCTION ets.gate() IS 'Trigger of ets.ledger_event: sends each row through the gate and advances the heads';

CREATE FUNCTION ets.guard() RETURNS trigger
  LANGUAGE c VOLATILE PARALLEL UNSAFE
  AS 'MODULE_PATHNAME', 'ets_guard';
COMMENT ON FUNCTION ets.guard() IS 'Trigger of the ledger''s tables: refuses what the ledger''s own code did not send';

CREATE FUNCTION ets.ddl_guard() RETURNS event_trigger
  LANGUAGE c VOLATILE PARALLEL UNSAFE
  AS 'MODULE_PATHNAME', 'ets_ddl_guard';
COMMENT ON FUNCTION ets.ddl_guard() IS 'Event trigger: refuses DDL that would disarm the ledger';
