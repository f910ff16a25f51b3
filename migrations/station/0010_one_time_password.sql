-- A password that a program made and showed once opens nothing but its own change (D22).
ALTER TABLE operators ADD COLUMN one_time INTEGER NOT NULL DEFAULT 0 CHECK (one_time IN (0, 1));

PRAGMA user_version = 10;
