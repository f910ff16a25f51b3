-- Everything the device must know after a restart that is not a secret. One row; `mac` is an HMAC
-- by a key derived from the root secret over this row and the three tables at the end together.
CREATE TABLE device_state (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  generation INTEGER NOT NULL CHECK (generation >= 0),
  slot_a INTEGER NULL,
  slot_b INTEGER NULL,
  commit_sent INTEGER NOT NULL CHECK (commit_sent IN (0, 1)),
  window_id BLOB NULL CHECK (window_id IS NULL OR length(window_id) = 16),
  window_session BLOB NULL CHECK (window_session IS NULL OR length(window_session) = 16),
  deprovisioned INTEGER NOT NULL CHECK (deprovisioned IN (0, 1)),
  floor INTEGER NULL,
  mac BLOB NOT NULL CHECK (length(mac) = 32)
) STRICT;

-- D13's two slots, D19's sealing: nonce(12) ‖ AES-256-GCM under the generation's own secret,
-- which the key store holds. Deleting a row wipes nothing by itself; destroying that secret does.
CREATE TABLE slots (
  slot TEXT PRIMARY KEY CHECK (slot IN ('A', 'B')),
  generation INTEGER NOT NULL UNIQUE CHECK (generation >= 1),
  sealed BLOB NOT NULL CHECK (length(sealed) > 28)
) STRICT;

-- Per site the latest `notBefore` of a configuration-signing certificate, Unix seconds (D14).
CREATE TABLE site_floors (
  site_id TEXT PRIMARY KEY,
  not_before INTEGER NOT NULL
) STRICT;

-- What the SettingsManager serves; changed only in the transaction that flips the slots.
CREATE TABLE settings (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  device_label TEXT NULL,
  bed_id TEXT NULL,
  measurement_unit TEXT NOT NULL,
  language TEXT NOT NULL,
  sync_interval INTEGER NOT NULL
) STRICT;

-- Slot secrets that may exist in the key store without a slot: noted before one is made and in the
-- transaction that drops its slot, removed when the slot is stored or the secret destroyed. Whatever
-- stands here at start was interrupted and is destroyed.
CREATE TABLE loose_secrets (
  generation INTEGER PRIMARY KEY CHECK (generation >= 1)
) STRICT;

PRAGMA application_id = 0x5A4D4456; -- "ZMDV"
PRAGMA user_version = 2;
