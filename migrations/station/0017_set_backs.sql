-- Each time this database was taken back to an earlier state: a backup that was restored, or an old file that somebody
-- accepted. No number that was given out in the time that is lost is given out again: revocation lists and
-- configurations go on above the floors, and the log goes on in lanes that bear the tag.
CREATE TABLE set_backs (
  number INTEGER PRIMARY KEY CHECK (number >= 1),
  tag TEXT NOT NULL UNIQUE CHECK (length(tag) = 16),
  at INTEGER NOT NULL,
  crl_floor INTEGER NOT NULL CHECK (crl_floor >= 0),
  config_floor INTEGER NOT NULL CHECK (config_floor >= 0)
) STRICT;
CREATE TRIGGER set_backs_are_kept BEFORE DELETE ON set_backs
BEGIN SELECT RAISE(ABORT, 'set_backs: rows are never deleted'); END;
CREATE TRIGGER set_backs_do_not_move BEFORE UPDATE ON set_backs
BEGIN SELECT RAISE(ABORT, 'set_backs: rows are never changed'); END;

PRAGMA user_version = 16;
