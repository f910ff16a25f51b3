//! SQLite stores, sealing at rest, key files and the audit log.
