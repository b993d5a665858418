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
