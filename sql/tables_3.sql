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
