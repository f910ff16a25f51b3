//! The device's database: two sealed slots, what must survive a restart, settings, audit log.

mod bytes;
mod commit;
mod keys;
mod retirements;
mod settings;
mod slot;
mod state;
mod store;

pub use store::SqliteDeviceStore;
