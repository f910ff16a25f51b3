-- Each time this database was taken back to an earlier state: a backup that was restored, or an old copy that somebody
-- accepted. No number that was given out in the time that is lost is given out again: revocation lists and
-- configurations go on above the floors, and the log goes on in lanes that bear the tag.
CREATE TABLE set_backs (
  number BIGINT PRIMARY KEY CHECK (number >= 1),
  tag TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(tag) = 16),
  at BIGINT NOT NULL,
  crl_floor BIGINT NOT NULL CHECK (crl_floor >= 0),
  config_floor BIGINT NOT NULL CHECK (config_floor >= 0)
);
CREATE TRIGGER set_backs_are_kept BEFORE DELETE OR TRUNCATE ON set_backs
FOR EACH STATEMENT EXECUTE FUNCTION refuse('rows are never deleted');
CREATE TRIGGER set_backs_do_not_move BEFORE UPDATE ON set_backs
FOR EACH ROW EXECUTE FUNCTION refuse('rows are never changed');
