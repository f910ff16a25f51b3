//! Key files (D19).
//!
//! | file | content |
//! |---|---|
//! | `root.key` | the root secret, 32 bytes |
//! | `identity.key` | the identity key, PKCS#8 sealed by a key derived from the root |
//! | `root.key.new`, `identity.key.new` | while a factory reset makes a new identity (D21) |
//! | `slots/<generation>.key` | the secret of one slot, sealed likewise |
//!
//! All 0600 in a 0700 directory, created exclusively, never through a link. This protects copies of
//! the database and backups of it; whoever has the whole disk has the keys too, and the store says
//! so by reporting `keyProtection: file`.

mod file_store;
mod slots;

pub use file_store::FileKeyStore;
