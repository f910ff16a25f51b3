//! The device's database: two sealed slots, what must survive a restart, settings, audit log.
//!
//! # Two places, one order
//!
//! A slot lives in the database, the secret that opens it in the key store (D19); no transaction
//! spans both. Three rules make every crash end in wholly old or wholly new:
//!
//! 1. *A secret is durable before the commit that needs it.* Its generation is noted as loose, in a
//!    small transaction of its own, then the secret is made, then the slot is stored; the
//!    transaction that stores the slot removes the note.
//! 2. *A secret is destroyed after the commit that drops its slot.* That transaction notes the
//!    generation as loose; the note goes when the secret is gone.
//! 3. *At start every loose secret is destroyed*, before the slots are read.
//!
//! | the power fails after | at the next start |
//! |---|---|
//! | the note, or the new secret | old state; the secret is destroyed |
//! | the commit that stages B | B is there, whole |
//! | the commit that flips | the new A; the old secret is destroyed |
//! | the old secret is destroyed | the new A; the note is removed |

mod bytes;
mod commit;
mod keys;
mod settings;
mod slot;
mod state;
mod store;

pub use store::SqliteDeviceStore;
