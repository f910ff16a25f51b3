//! Every message: whatever is read is written so that it reads the same.
#![no_main]
#![allow(dead_code, reason = "the list serves the tests of the crate as well")]

#[path = "../../crates/wire/tests/messages/list.rs"]
mod list;

use libfuzzer_sys::fuzz_target;
use zmon_fuzz::choice;

fuzz_target!(|data: &[u8]| {
    let Some((which, body)) = choice(data, list::ALL.len()) else { return };
    let rewrite = list::ALL[which].rewrite;
    if let Ok(written) = rewrite(body) {
        assert_eq!(rewrite(&written).ok().as_deref(), Some(&*written), "{}", list::ALL[which].name);
    }
});
