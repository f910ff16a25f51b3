//! What pointers of the caller point to. Everything that crosses is copied, and wiped where it is freed.
#![expect(unsafe_code, reason = "the caller's memory is reached by its pointers")]

use core::ffi::{c_char, c_void};
use core::ptr;
use core::slice;

use zeroize::{Zeroize, Zeroizing};

use crate::outcome::{Outcome, Refusal, ZmonStatus};

/// Bytes that the library hands out. A zero byte follows them, which `length` does not count, so that
/// text is a C string too. `zmon_buffer_free` wipes and frees them and empties the buffer.
#[repr(C)]
#[derive(Debug)]
pub struct ZmonBuffer {
    /// The bytes; null when there are none.
    pub data: *mut c_char,
    /// How many.
    pub length: usize,
}

impl ZmonBuffer {
    /// A buffer without bytes.
    pub(crate) const EMPTY: Self = Self { data: ptr::null_mut(), length: 0 };

    fn new(bytes: &[u8]) -> Self {
        let mut copy = Vec::with_capacity(bytes.len().saturating_add(1));
        copy.extend_from_slice(bytes);
        copy.push(0);
        let data = Box::into_raw(copy.into_boxed_slice());
        Self { data: data.cast(), length: bytes.len() }
    }

    /// Wipes and frees the bytes. Freeing an empty buffer does nothing.
    fn free(&mut self) {
        let Self { data, length } = std::mem::replace(self, Self::EMPTY);
        if data.is_null() {
            return;
        }
        let bytes = ptr::slice_from_raw_parts_mut(data.cast::<u8>(), length.saturating_add(1));
        // SAFETY: `new` made this allocation, of this length, and gave it away; the caller hands it back
        // unchanged, and the buffer is empty from here on.
        let mut bytes = unsafe { Box::from_raw(bytes) };
        bytes.zeroize();
    }
}

/// Writes `bytes` to where the caller wants them; nowhere when that is null.
///
/// # Safety
/// `to` is null or points to a buffer that may be written.
pub(crate) unsafe fn write_buffer(to: *mut ZmonBuffer, bytes: &[u8]) {
    if !to.is_null() {
        // SAFETY: the caller of this function vouches for `to`; `write` reads nothing that was there.
        unsafe { to.write(ZmonBuffer::new(bytes)) }
    }
}

/// Empties where the answer will be, so that it may be freed whatever comes.
///
/// # Safety
/// As [`write_buffer`].
pub(crate) unsafe fn clear_buffer(to: *mut ZmonBuffer) {
    if !to.is_null() {
        // SAFETY: as in `write_buffer`.
        unsafe { to.write(ZmonBuffer::EMPTY) }
    }
}

/// Frees a buffer that `write_buffer` has written; null is none.
///
/// # Safety
/// `buffer` is null or points to a buffer of this library, changed by nobody.
pub(crate) unsafe fn free_buffer(buffer: *mut ZmonBuffer) {
    // SAFETY: the caller of this function vouches for `buffer`.
    if let Some(buffer) = unsafe { buffer.as_mut() } {
        buffer.free();
    }
}

/// Copies a text of the caller; the copy is wiped on drop. `NULL` of length 0 is the empty text.
///
/// # Errors
/// `NullPointer` for a null pointer, `NotUtf8`.
///
/// # Safety
/// `text` is null or points to `length` bytes that nobody changes meanwhile.
pub(crate) unsafe fn read_text(
    text: *const c_char,
    length: usize,
    argument: &'static str,
) -> Outcome<Zeroizing<String>> {
    if text.is_null() {
        if length == 0 {
            return Ok(Zeroizing::default());
        }
        return Err(Refusal::caller(ZmonStatus::NullPointer, argument, "must not be null"));
    }
    if isize::try_from(length).is_err() {
        let rule = "must not be longer than an address space";
        return Err(Refusal::caller(ZmonStatus::Malformed, argument, rule));
    }
    // SAFETY: not null, not longer than half the address space; the caller of this function vouches for
    // the bytes.
    let bytes = unsafe { slice::from_raw_parts(text.cast::<u8>(), length) };
    match core::str::from_utf8(bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Refusal::caller(ZmonStatus::NotUtf8, argument, "must be UTF-8 text")),
    }
}

/// Writes a handle to where the caller wants it.
///
/// # Safety
/// `to` is not null and may be written.
pub(crate) unsafe fn write_handle(to: *mut u64, handle: u64) {
    // SAFETY: the caller of this function vouches for `to`.
    unsafe { to.write(handle) }
}

/// What the caller wants to be told events with. `event` is one JSON object of `length` bytes with a zero
/// byte behind it, and lives as long as the call.
pub type ZmonCallback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, event: *const c_char, length: usize)>;

/// A callback with what it wants to be given.
pub(crate) struct Listener {
    function: unsafe extern "C" fn(*mut c_void, *const c_char, usize),
    user_data: *mut c_void,
}

// SAFETY: the contract of the header: `user_data` may be given to the callback on a thread of the library.
unsafe impl Send for Listener {}

impl Listener {
    pub(crate) fn new(callback: ZmonCallback, user_data: *mut c_void) -> Option<Self> {
        callback.map(|function| Self { function, user_data })
    }

    /// Tells one event.
    pub(crate) fn tell(&self, json: &[u8]) {
        let mut event = Vec::with_capacity(json.len().saturating_add(1));
        event.extend_from_slice(json);
        event.push(0);
        // SAFETY: the caller of `zmon_device_open` vouches for the function and its `user_data` until
        // `zmon_device_close` returns, which waits for the thread that this runs on.
        unsafe { (self.function)(self.user_data, event.as_ptr().cast(), json.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_a_c_string_and_is_freed_once() {
        let mut buffer = ZmonBuffer::EMPTY;
        // SAFETY: a buffer of this frame, written and freed by the library; it has three bytes and a zero.
        unsafe {
            write_buffer(&raw mut buffer, b"abc");
            assert_eq!(slice::from_raw_parts(buffer.data.cast::<u8>(), 4), b"abc\0");
            assert_eq!(buffer.length, 3);
            free_buffer(&raw mut buffer);
            assert!(buffer.data.is_null() && buffer.length == 0);
            free_buffer(&raw mut buffer);
            free_buffer(ptr::null_mut());
            write_buffer(ptr::null_mut(), b"nowhere");
            clear_buffer(ptr::null_mut());
        }
    }

    #[test]
    fn a_text_is_a_pointer_with_its_length() {
        // SAFETY: each pointer is null or of a literal at least as long as its length.
        let status = |text: *const c_char, length| match unsafe { read_text(text, length, "x") } {
            Ok(text) => Ok(text.to_string()),
            Err(refused) => Err(refused.status),
        };
        assert_eq!(status(c"abc".as_ptr(), 2), Ok("ab".to_owned()));
        assert_eq!(status(c"abc".as_ptr(), 0), Ok(String::new()));
        assert_eq!(status(ptr::null(), 0), Ok(String::new()));
        assert_eq!(status(ptr::null(), 1), Err(ZmonStatus::NullPointer));
        assert_eq!(status(c"a\xff".as_ptr(), 2), Err(ZmonStatus::NotUtf8));
        assert_eq!(status(c"a".as_ptr(), usize::MAX), Err(ZmonStatus::Malformed));
    }
}
