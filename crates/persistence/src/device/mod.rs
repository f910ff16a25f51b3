//! The device's database: two sealed slots, what must survive a restart, settings, audit log.

mod bytes;
mod commit;
mod keys;
mod new_identity;
mod retirements;
mod settings;
mod slot;
mod state;
mod store;

pub use new_identity::make_new_identity;
pub use store::SqliteDeviceStore;
