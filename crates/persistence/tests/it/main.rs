//! Stores, key files, operators and audit log over real files, and what damages them.
//!
//! One binary: the modules share the device directory of `common`.

#[cfg(test)]
mod audit_log;
#[cfg(test)]
mod audit_tampering;
#[cfg(test)]
mod authenticator;
#[cfg(test)]
mod common;
#[cfg(test)]
mod database_files;
#[cfg(test)]
mod device_faults;
#[cfg(test)]
mod device_model;
#[cfg(test)]
mod device_store;
#[cfg(test)]
mod end_of_life;
#[cfg(test)]
mod key_files;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod new_identity;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod postgres_tamper;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod secrets_at_rest;
#[cfg(test)]
mod set_back;
#[cfg(test)]
mod station_accounts;
#[cfg(test)]
mod station_batches;
#[cfg(test)]
mod station_files;
#[cfg(test)]
mod station_lists;
#[cfg(test)]
mod station_sessions;
#[cfg(test)]
mod station_store;
#[cfg(test)]
mod upgrade;
