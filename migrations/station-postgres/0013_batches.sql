-- Batches of pairings ([W §1]). An item is named by its batch and its row in the manifest; none is ever
-- removed: the items of a closed batch are its report.
CREATE TABLE batches (
  id BYTEA PRIMARY KEY CHECK (length(id) = 16),
  name TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'paused', 'closed')),
  operator TEXT COLLATE "C" NOT NULL,
  opened_at BIGINT NOT NULL
);
CREATE INDEX batches_by_opening ON batches (opened_at, id);

CREATE TABLE batch_items (
  batch_id BYTEA NOT NULL REFERENCES batches (id),
  number BIGINT NOT NULL CHECK (number >= 1),
  device_id TEXT COLLATE "C" NULL,
  serial TEXT COLLATE "C" NULL,
  identity BYTEA NULL CHECK (length(identity) = 32),
  ip_address TEXT NULL,
  port BIGINT NULL CHECK (port BETWEEN 1 AND 65535),
  bed TEXT COLLATE "C" NULL,
  label TEXT NULL,
  unit TEXT NULL,
  language TEXT NULL,
  sync_interval BIGINT NULL,
  state TEXT NOT NULL CHECK (state IN ('waiting', 'pairing', 'paired', 'failed', 'skipped')),
  attempts BIGINT NOT NULL CHECK (attempts >= 0),
  operator TEXT COLLATE "C" NULL,
  session BYTEA NULL CHECK (length(session) = 16),
  begun_at BIGINT NULL,
  ended_at BIGINT NULL,
  error TEXT NULL,
  field TEXT NULL,
  rule TEXT NULL,
  PRIMARY KEY (batch_id, number),
  CONSTRAINT failed_says_why CHECK ((state = 'failed') = (error IS NOT NULL)),
  CONSTRAINT a_field_has_its_rule CHECK ((field IS NULL) = (rule IS NULL))
);
CREATE INDEX batch_items_by_device ON batch_items (device_id);
CREATE INDEX batch_items_by_serial ON batch_items (serial);
CREATE INDEX batch_items_at_work ON batch_items (batch_id) WHERE state = 'pairing';

CREATE TRIGGER batches_stay_closed BEFORE UPDATE OF state ON batches
FOR EACH ROW WHEN (OLD.state = 'closed' AND NEW.state <> 'closed')
EXECUTE FUNCTION refuse('a closed batch stays closed');
CREATE TRIGGER batches_are_kept BEFORE DELETE OR TRUNCATE ON batches
FOR EACH STATEMENT EXECUTE FUNCTION refuse('rows are never deleted');
CREATE TRIGGER batch_items_are_kept BEFORE DELETE OR TRUNCATE ON batch_items
FOR EACH STATEMENT EXECUTE FUNCTION refuse('rows are never deleted');
CREATE TRIGGER batch_items_stay_paired BEFORE UPDATE OF state ON batch_items
FOR EACH ROW WHEN (OLD.state = 'paired' AND NEW.state <> 'paired')
EXECUTE FUNCTION refuse('a paired item stays paired');
