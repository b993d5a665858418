-- Takes the trees of tree.sql away again, past the guards.
BEGIN;
SET LOCAL client_min_messages = error;
ALTER EVENT TRIGGER ets_ddl_start DISABLE;
ALTER EVENT TRIGGER ets_ddl_end DISABLE;
ALTER TABLE ets.merkle_leaf DISABLE TRIGGER ets_guard;
ALTER TABLE ets.merkle_tile DISABLE TRIGGER ets_guard;
ALTER TABLE ets.domain_root DISABLE TRIGGER ets_guard;
DELETE FROM ets.merkle_leaf WHERE domain LIKE 'bench.%';
DELETE FROM ets.merkle_tile WHERE domain LIKE 'bench.%';
DELETE FROM ets.domain_root WHERE domain LIKE 'bench.%';
ALTER TABLE ets.merkle_leaf ENABLE ALWAYS TRIGGER ets_guard;
ALTER TABLE ets.merkle_tile ENABLE ALWAYS TRIGGER ets_guard;
ALTER TABLE ets.domain_root ENABLE ALWAYS TRIGGER ets_guard;
ALTER EVENT TRIGGER ets_ddl_start ENABLE ALWAYS;
ALTER EVENT TRIGGER ets_ddl_end ENABLE ALWAYS;
COMMIT;
