-- Batches of pairings ([W §1]). An item is named by its batch and its row in the manifest; none is ever
-- removed: the items of a closed batch are its report.
CREATE TABLE batches (
  id BLOB PRIMARY KEY CHECK (length(id) = 16),
  name TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'paused', 'closed')),
  operator TEXT NOT NULL,
  opened_at INTEGER NOT NULL
) STRICT;
CREATE INDEX batches_by_opening ON batches (opened_at, id);

CREATE TABLE batch_items (
  batch_id BLOB NOT NULL REFERENCES batches (id),
  number INTEGER NOT NULL CHECK (number >= 1),
  device_id TEXT NULL,
  serial TEXT NULL,
  identity BLOB NULL CHECK (length(identity) = 32),
  ip_address TEXT NULL,
  port INTEGER NULL CHECK (port BETWEEN 1 AND 65535),
  bed TEXT NULL,
  label TEXT NULL,
  unit TEXT NULL,
  language TEXT NULL,
  sync_interval INTEGER NULL,
  state TEXT NOT NULL CHECK (state IN ('waiting', 'pairing', 'paired', 'failed', 'skipped')),
  attempts INTEGER NOT NULL CHECK (attempts >= 0),
  operator TEXT NULL,
  session BLOB NULL CHECK (length(session) = 16),
  begun_at INTEGER NULL,
  ended_at INTEGER NULL,
  error TEXT NULL,
  field TEXT NULL,
  rule TEXT NULL,
  PRIMARY KEY (batch_id, number),
  CONSTRAINT failed_says_why CHECK ((state = 'failed') = (error IS NOT NULL)),
  CONSTRAINT a_field_has_its_rule CHECK ((field IS NULL) = (rule IS NULL))
) STRICT;
CREATE INDEX batch_items_by_device ON batch_items (device_id);
CREATE INDEX batch_items_by_serial ON batch_items (serial);
CREATE INDEX batch_items_at_work ON batch_items (batch_id) WHERE state = 'pairing';

CREATE TRIGGER batches_stay_closed BEFORE UPDATE OF state ON batches
WHEN OLD.state = 'closed' AND NEW.state <> 'closed'
BEGIN SELECT RAISE(ABORT, 'batches: a closed batch stays closed'); END;
CREATE TRIGGER batches_are_kept BEFORE DELETE ON batches
BEGIN SELECT RAISE(ABORT, 'batches: rows are never deleted'); END;
CREATE TRIGGER batch_items_are_kept BEFORE DELETE ON batch_items
BEGIN SELECT RAISE(ABORT, 'batch_items: rows are never deleted'); END;
CREATE TRIGGER batch_items_stay_paired BEFORE UPDATE OF state ON batch_items
WHEN OLD.state = 'paired' AND NEW.state <> 'paired'
BEGIN SELECT RAISE(ABORT, 'batch_items: a paired item stays paired'); END;

PRAGMA user_version = 13;
