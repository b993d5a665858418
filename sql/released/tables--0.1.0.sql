-- The ledger's tables, made by ets.init as ordinary tables: not members of the
-- extension, so that DROP EXTENSION leaves the data, and dump, restore,
-- replication and pg_upgrade treat them like any table.

CREATE TABLE ets.ledger (
  ledger_id          uuid PRIMARY KEY,
  origin             text NOT NULL,
  root_key_id        text NOT NULL,
  root_public_key    bytea NOT NULL,
  server_key_id      text NOT NULL,
  server_public_key  bytea NOT NULL,
  layout_version     integer NOT NULL,
  system_identifier  bigint NOT NULL,
  timeline           integer NOT NULL,
  database_oid       oid NOT NULL,
  one                boolean NOT NULL DEFAULT true UNIQUE CHECK (one)
);
COMMENT ON TABLE ets.ledger IS 'The ledger of this database: its id, its name, its keys, and where it was made';

CREATE TABLE ets.ledger_event (
  event_id          uuid NOT NULL,
  payload           jsonb NOT NULL,
  schema_version    text COLLATE "C" NOT NULL,
  key_id            text COLLATE "C" NOT NULL,
  public_key        bytea NOT NULL,
  previous_hash     bytea NOT NULL,
  current_hash      bytea NOT NULL,
  signature         bytea NOT NULL,
  "timestamp"       timestamptz NOT NULL,
  domain            text COLLATE "C" NOT NULL,
  stream            text COLLATE "C" NOT NULL,
  sequence          bigint NOT NULL,
  registry_version  bigint NOT NULL,
  -- The top-level transaction that appended the row: how a seal finds cheaply
  -- what the last one did not see. It is under no hash.
  transaction_id    bigint NOT NULL,
  PRIMARY KEY (event_id, domain)
);
CREATE INDEX ledger_event_stream ON ets.ledger_event (domain, stream, sequence);
CREATE INDEX ledger_event_transaction ON ets.ledger_event USING brin (transaction_id) WITH (pages_per_range = 16);
COMMENT ON TABLE ets.ledger_event IS 'The events: append-only, each signed by its actor and linked to the one before it in its stream';
COMMENT ON COLUMN ets.ledger_event.event_id IS 'UUID version 7, strictly increasing in its stream';
COMMENT ON COLUMN ets.ledger_event.payload IS 'what happened; the canonical value (RFC 8785)';
COMMENT ON COLUMN ets.ledger_event.schema_version IS 'the schema that the payload was validated against';
COMMENT ON COLUMN ets.ledger_event.key_id IS 'SHA-256 of public_key, in hex';
COMMENT ON COLUMN ets.ledger_event.public_key IS 'the signer''s Ed25519 key, 32 bytes';
COMMENT ON COLUMN ets.ledger_event.previous_hash IS 'current_hash of the event before it in its stream, or the stream''s genesis hash';
COMMENT ON COLUMN ets.ledger_event.current_hash IS 'SHA-256 of the canonical payload followed by previous_hash';
COMMENT ON COLUMN ets.ledger_event.signature IS 'Ed25519 signature of the 32 bytes of current_hash';
COMMENT ON COLUMN ets.ledger_event."timestamp" IS 'when the gate admitted the event, by the server''s clock';
COMMENT ON COLUMN ets.ledger_event.domain IS 'the domain, which the schema names';
COMMENT ON COLUMN ets.ledger_event.stream IS 'the hash chain inside the domain';
COMMENT ON COLUMN ets.ledger_event.sequence IS 'position in the stream, from 1';
COMMENT ON COLUMN ets.ledger_event.registry_version IS 'the registry''s sequence that the event was judged against';
COMMENT ON COLUMN ets.ledger_event.transaction_id IS 'the transaction that appended it, for the seal; under no hash';

CREATE TABLE ets.stream_head (
  domain            text COLLATE "C" NOT NULL,
  stream            text COLLATE "C" NOT NULL,
  sequence          bigint NOT NULL,
  head_hash         bytea NOT NULL,
  last_event_id     uuid NOT NULL,
  last_timestamp    timestamptz NOT NULL,
  registry_version  bigint NOT NULL,
  state             jsonb,
  PRIMARY KEY (domain, stream)
) WITH (fillfactor = 50);
COMMENT ON TABLE ets.stream_head IS 'The last event of each stream, and its state where the domain keeps one; written by the gate in the same transaction as the event';

CREATE TABLE ets.domain (
  domain         text COLLATE "C" PRIMARY KEY,
  description    text,
  keep_state     boolean NOT NULL,
  registered_at  bigint NOT NULL
);
COMMENT ON TABLE ets.domain IS 'Domains, as the registry''s events made them; a projection, written by the gate alone';

CREATE TABLE ets.schema_version (
  name            text COLLATE "C" PRIMARY KEY,
  domain          text COLLATE "C" NOT NULL,
  schema          jsonb NOT NULL,
  stream_pointer  text,
  schema_pointer  text,
  rules           jsonb NOT NULL,
  reducer         text NOT NULL,
  engine          text NOT NULL,
  registered_at   bigint NOT NULL,
  retired_at      bigint,
  rule_functions  jsonb NOT NULL
);
COMMENT ON TABLE ets.schema_version IS 'Schema versions, as the registry''s events made them; a projection, written by the gate alone';

CREATE TABLE ets.signing_key (
  key_id             text COLLATE "C" PRIMARY KEY,
  public_key         bytea NOT NULL,
  algorithm          text NOT NULL,
  owner              text NOT NULL,
  custody            text NOT NULL,
  not_before         timestamptz,
  not_after          timestamptz,
  registered_at      bigint NOT NULL,
  revoked_at         bigint,
  rotated_from       text COLLATE "C",
  superseded_by      text COLLATE "C",
  compromised_since  timestamptz
);
COMMENT ON TABLE ets.signing_key IS 'Keys, as the registry''s events made them; a projection, written by the gate alone';

CREATE TABLE ets.authority_grant (
  key_id      text COLLATE "C" NOT NULL,
  domain      text COLLATE "C" NOT NULL,
  schemas     text COLLATE "C" NOT NULL,
  streams     text COLLATE "C" NOT NULL,
  granted_at  bigint NOT NULL,
  revoked_at  bigint,
  PRIMARY KEY (key_id, domain, schemas, streams, granted_at)
);
COMMENT ON TABLE ets.authority_grant IS 'Who may append what, as the registry''s events granted it; a projection, written by the gate alone';

CREATE TABLE ets.local_key (
  name     text PRIMARY KEY,
  key_id   text COLLATE "C" NOT NULL UNIQUE,
  used_by  text NOT NULL
);
COMMENT ON TABLE ets.local_key IS 'Keys whose secret lies on this server, each usable by one role through ets.append_signed';

CREATE TABLE ets.merkle_leaf (
  domain      text COLLATE "C" NOT NULL,
  leaf_index  bigint NOT NULL,
  event_id    uuid NOT NULL,
  PRIMARY KEY (domain, leaf_index)
);
CREATE INDEX merkle_leaf_event ON ets.merkle_leaf (event_id);
COMMENT ON TABLE ets.merkle_leaf IS 'Which event is which leaf of its domain''s tree';

CREATE TABLE ets.merkle_tile (
  domain      text COLLATE "C" NOT NULL,
  level       integer NOT NULL,
  tile_index  bigint NOT NULL,
  hashes      bytea NOT NULL,
  PRIMARY KEY (domain, level, tile_index)
);
ALTER TABLE ets.merkle_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;
COMMENT ON TABLE ets.merkle_tile IS 'The trees as tiles of up to 256 hashes of 32 bytes (C2SP tlog-tiles); level 0 holds the leaf hashes';

CREATE TABLE ets.checkpoint (
  checkpoint_id        bigint PRIMARY KEY,
  version              text NOT NULL,
  checkpoint_event_id  uuid NOT NULL,
  meta_root            bytea NOT NULL,
  created_at           timestamptz NOT NULL
);
COMMENT ON TABLE ets.checkpoint IS 'Seals: each is one MetaRoot over all domain roots';

CREATE TABLE ets.domain_root (
  checkpoint_id  bigint NOT NULL,
  domain         text COLLATE "C" NOT NULL,
  tree_size      bigint NOT NULL,
  root_hash      bytea NOT NULL,
  note           text,
  PRIMARY KEY (checkpoint_id, domain)
);
COMMENT ON TABLE ets.domain_root IS 'The size and root of each domain''s tree at each checkpoint, with the signed note (C2SP tlog-checkpoint)';

CREATE TABLE ets.seal_position (
  one                boolean PRIMARY KEY DEFAULT true CHECK (one),
  snapshot           pg_snapshot NOT NULL,
  system_identifier  bigint NOT NULL,
  database_oid       oid NOT NULL,
  relation_oid       oid NOT NULL,
  has_foreign_ids    boolean NOT NULL
);
COMMENT ON COLUMN ets.seal_position.has_foreign_ids IS 'whether rows came from another cluster, as by a restore, whose transaction_id says nothing here';
COMMENT ON TABLE ets.seal_position IS 'What the last seal saw, so that the next finds what is new; of no meaning in another cluster';
-- Layout 2: what verification did and what it found. ets.arm makes these tables
-- where an older ledger lacks them.

CREATE TABLE ets.verification_run (
  run_id             bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  check_name         text COLLATE "C" NOT NULL,
  domain             text COLLATE "C",
  incremental        boolean NOT NULL,
  started_at         timestamptz NOT NULL,
  finished_at        timestamptz,
  working_time       interval NOT NULL DEFAULT '0',
  events             bigint NOT NULL DEFAULT 0,
  checkpoint_id      bigint,
  meta_root          bytea,
  verdict            text,
  finding_count      bigint NOT NULL DEFAULT 0,
  statement_id       uuid,
  tasks              jsonb,
  scan_position      jsonb,
  cycle_started_at   timestamptz,
  last_cycle         interval,
  system_identifier  bigint NOT NULL,
  database_oid       oid NOT NULL,
  relation_oid       oid NOT NULL
);
CREATE INDEX verification_run_check ON ets.verification_run (check_name, run_id);
COMMENT ON TABLE ets.verification_run IS 'Runs of verification: what each covered, when, how fast, and what it said';
COMMENT ON COLUMN ets.verification_run.check_name IS 'verify, rebuild or replay';
COMMENT ON COLUMN ets.verification_run.domain IS 'the one domain that was verified; NULL: all';
COMMENT ON COLUMN ets.verification_run.incremental IS 'whether it started from an earlier statement with MATCH';
COMMENT ON COLUMN ets.verification_run.finished_at IS 'NULL while batches are left to do';
COMMENT ON COLUMN ets.verification_run.working_time IS 'the time spent in it; a run in batches may have rested in between';
COMMENT ON COLUMN ets.verification_run.events IS 'events verified, each time that one was';
COMMENT ON COLUMN ets.verification_run.checkpoint_id IS 'the last checkpoint when it started: what was sealed later is the next run''s';
COMMENT ON COLUMN ets.verification_run.verdict IS 'MATCH, MISMATCH or UNVERIFIABLE; NULL while it runs';
COMMENT ON COLUMN ets.verification_run.finding_count IS 'findings that bear on the verdict, also those beyond what ets.finding keeps of one run';
COMMENT ON COLUMN ets.verification_run.statement_id IS 'the event in ets.audit that declares it; NULL: it could not be signed';
COMMENT ON COLUMN ets.verification_run.tasks IS 'what is left to do, so that a run goes on where it was interrupted';
COMMENT ON COLUMN ets.verification_run.scan_position IS 'where the next incremental run''s part of the rolling scan begins';
COMMENT ON COLUMN ets.verification_run.cycle_started_at IS 'when the rolling scan that is under way began at the first event';
COMMENT ON COLUMN ets.verification_run.last_cycle IS 'how long the last complete rolling scan took: the achieved ets.rebuild_period';
COMMENT ON COLUMN ets.verification_run.system_identifier IS 'the cluster in which it ran; with database_oid and relation_oid it tells a restored copy';

CREATE TABLE ets.finding (
  finding_id   bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  run_id       bigint NOT NULL,
  last_run_id  bigint NOT NULL,
  found_at     timestamptz NOT NULL,
  class        text COLLATE "C" NOT NULL,
  domain       text COLLATE "C",
  stream       text COLLATE "C",
  sequence     bigint,
  event_id     uuid,
  check_name   text COLLATE "C" NOT NULL,
  expected     text,
  actual       text,
  detail       text NOT NULL
);
CREATE INDEX finding_place ON ets.finding (class, check_name, event_id);
CREATE INDEX finding_run ON ets.finding (last_run_id);
COMMENT ON TABLE ets.finding IS 'What verification found wrong. A finding stays open until a full run of the same check finds nothing';
COMMENT ON COLUMN ets.finding.run_id IS 'the run that found it first';
COMMENT ON COLUMN ets.finding.last_run_id IS 'the run that found it last';
COMMENT ON COLUMN ets.finding.check_name IS 'what was checked, such as previous_hash';
-- Layout 3: whether this database receives another's events. ets.arm makes the
-- table where an older ledger lacks it.

CREATE TABLE ets.receiver (
  one           boolean PRIMARY KEY DEFAULT true CHECK (one),
  first_hash    bytea NOT NULL,
  domain        text COLLATE "C",
  joined_at     timestamptz NOT NULL,
  promoted_at   timestamptz,
  promotion_id  uuid
);
COMMENT ON TABLE ets.receiver IS 'A row where ets.join made the ledger: it receives another database''s events until ets.promote; no row: it takes its own';
COMMENT ON COLUMN ets.receiver.first_hash IS 'current_hash of the ledger''s first event, which ets.join was given';
COMMENT ON COLUMN ets.receiver.domain IS 'the one domain that it holds beside ets.registry; NULL: all';
COMMENT ON COLUMN ets.receiver.promoted_at IS 'when it began to take appends of its own; NULL: not yet';
COMMENT ON COLUMN ets.receiver.promotion_id IS 'the event in ets.audit that declares it; NULL: it could not be signed';
-- Layout 4: where checkpoints were published, and the evidence that came back.
-- ets.arm makes the table where an older ledger lacks it.

CREATE TABLE ets.anchor (
  anchor_id       bigint PRIMARY KEY,
  checkpoint_id   bigint NOT NULL,
  service         text COLLATE "C" NOT NULL,
  state           text COLLATE "C" NOT NULL,
  statement       text NOT NULL,
  evidence        bytea,
  reference       text,
  reason          text,
  attempts        integer NOT NULL,
  created_at      timestamptz NOT NULL,
  updated_at      timestamptz NOT NULL,
  next_attempt    timestamptz,
  declaration_id  uuid,
  UNIQUE (checkpoint_id, service)
);
COMMENT ON TABLE ets.anchor IS 'Checkpoints published outside the ledger: one row for each checkpoint and service, written by ets.record_anchor';
COMMENT ON COLUMN ets.anchor.anchor_id IS 'from 1, without gaps';
COMMENT ON COLUMN ets.anchor.service IS 'kind and place, such as git /srv/anchors; never a secret';
COMMENT ON COLUMN ets.anchor.state IS 'pending, confirmed or failed; what is confirmed stays so';
COMMENT ON COLUMN ets.anchor.statement IS 'the bytes that were published: ledger, checkpoint, sizes and roots, canonical JSON';
COMMENT ON COLUMN ets.anchor.evidence IS 'what the service answered, as it came; pending evidence is not yet a proof';
COMMENT ON COLUMN ets.anchor.reference IS 'where at the service, if it said so';
COMMENT ON COLUMN ets.anchor.reason IS 'why the last attempt failed; NULL unless state is failed';
COMMENT ON COLUMN ets.anchor.attempts IS 'how often a result was recorded';
COMMENT ON COLUMN ets.anchor.next_attempt IS 'when to ask again; NULL: confirmed, or trying again cannot help';
COMMENT ON COLUMN ets.anchor.declaration_id IS 'the event in ets.audit that declares it; NULL: not confirmed, or it could not be signed';
