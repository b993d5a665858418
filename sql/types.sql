-- Whoever owns a schema can drop and add what is in it: a role that made the
-- schema ets beforehand must not come to own the ledger in that way.
DO $$
BEGIN
  IF NOT (SELECT role.rolsuper FROM pg_catalog.pg_namespace AS schema
            JOIN pg_catalog.pg_roles AS role ON role.oid OPERATOR(pg_catalog.=) schema.nspowner
           WHERE schema.nspname OPERATOR(pg_catalog.=) 'ets') THEN
    RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = 'the schema ets belongs to a role that is no superuser',
      DETAIL = '{"schema": "ets"}', HINT = 'look what is in it and drop it, or ALTER SCHEMA ets OWNER TO a superuser';
  END IF;
END
$$;

-- Composite types of results. No table's row type appears in a function, and no
-- type of the extension in a table: the tables outlive the extension.

CREATE TYPE ets.event AS (
  event_id          uuid,
  domain            text,
  stream            text,
  sequence          bigint,
  payload           jsonb,
  schema_version    text,
  key_id            text,
  public_key        bytea,
  previous_hash     bytea,
  current_hash      bytea,
  signature         bytea,
  "timestamp"       timestamptz,
  registry_version  bigint
);
COMMENT ON TYPE ets.event IS 'An event: the thirteen members of an event document, in order';

CREATE TYPE ets.checkpoint_info AS (
  checkpoint_id        bigint,
  version              text,
  checkpoint_event_id  uuid,
  meta_root            bytea,
  created_at           timestamptz
);
COMMENT ON TYPE ets.checkpoint_info IS 'A checkpoint: one MetaRoot over all domain roots';

CREATE TYPE ets.finding_info AS (
  class       text,
  domain      text,
  stream      text,
  sequence    bigint,
  event_id    uuid,
  check_name  text,
  expected    text,
  actual      text,
  detail      text
);
COMMENT ON TYPE ets.finding_info IS 'One thing that verification found wrong, and where';
