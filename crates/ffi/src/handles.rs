//! Open devices by their handles. Numbers are given out once, so that a closed handle is known to be one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::host::Host;
use crate::outcome::{Outcome, Refusal};

/// The one table of a process: C has nothing else to keep a device in.
static DEVICES: Mutex<Table> = Mutex::new(Table { last: 0, open: BTreeMap::new() });

struct Table {
    last: u64,
    open: BTreeMap<u64, Arc<Host>>,
}

/// Gives a device its handle.
pub(crate) fn add(host: Host) -> u64 {
    let mut table = table();
    // Never reached again: a device a nanosecond would take five centuries.
    table.last = table.last.wrapping_add(1);
    let handle = table.last;
    table.open.insert(handle, Arc::new(host));
    handle
}

/// The device of a handle.
///
/// # Errors
/// `Closed`.
pub(crate) fn get(handle: u64) -> Outcome<Arc<Host>> {
    table().open.get(&handle).cloned().ok_or_else(Refusal::closed)
}

/// Takes the device of a handle out; nobody finds it any more.
///
/// # Errors
/// `Closed`.
pub(crate) fn remove(handle: u64) -> Outcome<Arc<Host>> {
    table().open.remove(&handle).ok_or_else(Refusal::closed)
}

fn table() -> std::sync::MutexGuard<'static, Table> {
    DEVICES.lock().unwrap_or_else(PoisonError::into_inner)
}
