-- What kind of device it is, where the manifest says so.
ALTER TABLE devices ADD COLUMN model TEXT NULL;

PRAGMA user_version = 8;
