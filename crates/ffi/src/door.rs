//! The functions that C calls. `include/zmon.h` is made from this file: what stands here is what callers
//! read.
#![expect(unsafe_code, reason = "functions with unmangled names that take pointers of the caller")]

use core::ffi::{c_char, c_void};

use zeroize::Zeroizing;
use zmon_device::embed::{Configuration, NewDevice};
use zmon_wire::strict;

use crate::handles;
use crate::host::{self, Host};
use crate::memory::{Listener, clear_buffer, free_buffer, read_text, write_buffer, write_handle};
pub use crate::memory::{ZmonBuffer, ZmonCallback};
use crate::methods::Request;
pub use crate::outcome::ZmonStatus;
use crate::outcome::{Outcome, Refusal, guarded};

/// An open device. 0 is none, and the number of a closed device is never given out again.
pub type ZmonDevice = u64;

/// The version of the library, a C string that is never freed.
#[unsafe(no_mangle)]
pub extern "C" fn zmon_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Makes a new device in an empty directory: keys, database, anchors, first operators. `order` is JSON,
/// docs/ffi.md has its members. The PINs in it are the caller's to wipe; the library wipes its copies.
///
/// `answer` gets who the device is, or why it was refused; it may be null.
///
/// # Safety
/// `order` points to `order_length` bytes, `answer` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmon_device_make(
    order: *const c_char,
    order_length: usize,
    answer: *mut ZmonBuffer,
) -> ZmonStatus {
    let made = guarded(|| {
        // SAFETY: the caller vouches for both pointers.
        let order = unsafe {
            clear_buffer(answer);
            read_text(order, order_length, "order")
        }?;
        let order = NewDevice::parse(order.as_bytes()).map_err(Refusal::malformed)?;
        let made = host::make(order)?;
        // Strings always have a JSON form.
        Ok(Zeroizing::new(strict::to_vec(&made).unwrap_or_default()))
    });
    // SAFETY: the caller vouches for `answer`.
    unsafe { finish(answer, made) }
}

/// Opens the device of a directory and starts its service. `configuration` is JSON:
/// {"directory": "/var/lib/monitor", "settings": {"listen": "192.168.1.100:8443"}}, where settings are
/// the keys of device.toml and win over that file. No environment variable is read.
///
/// `callback` may be null. It is called on one thread of the library, one event after the other, from
/// before this function returns until zmon_device_close has returned. It may call any function here but
/// zmon_device_close of its own device. It must not throw.
///
/// `device` gets the handle, 0 when nothing was opened; `problem`, which may be null, why.
///
/// # Safety
/// `configuration` points to `configuration_length` bytes, `device` may be written, `problem` is null or
/// may be written, `callback` may be called with `user_data` on another thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmon_device_open(
    configuration: *const c_char,
    configuration_length: usize,
    callback: ZmonCallback,
    user_data: *mut c_void,
    device: *mut ZmonDevice,
    problem: *mut ZmonBuffer,
) -> ZmonStatus {
    let opened = guarded(|| {
        // SAFETY: the caller vouches for `problem`.
        unsafe { clear_buffer(problem) };
        if device.is_null() {
            return Err(null("device"));
        }
        // SAFETY: not null; the caller vouches for it and for `configuration`.
        let configuration = unsafe {
            write_handle(device, 0);
            read_text(configuration, configuration_length, "configuration")
        }?;
        let configuration =
            Configuration::parse(configuration.as_bytes()).map_err(Refusal::malformed)?;
        let opened = Host::open(configuration, Listener::new(callback, user_data))?;
        // SAFETY: as above.
        unsafe { write_handle(device, handles::add(opened)) };
        Ok(Zeroizing::default())
    });
    // SAFETY: the caller vouches for `problem`.
    unsafe { finish(problem, opened) }
}

/// Asks something of a device and waits for the answer, at most about a minute. Any thread may call, and
/// several at a time. `params` is a JSON object; null of length 0 is {}.
///
/// Methods of [W 11.2]: enterProvisioningMode {operator, pin}, exitProvisioningMode {}, regenerateQRCode
/// {}, simulateConfiguration {}, reprovisionDevice {operator, pin, confirm: true}. Others: status, link,
/// identity, qr, operators, confirmStation {operator, pin, words}, refuseStation, retry {operator, pin},
/// reset, renew, deprovision, factoryReset, migrate, postponeMigration, createAdministrator, addOperator,
/// listOperators, removeOperator, setPin, unlockOperator, courier, log, verify. docs/ffi.md has their
/// members. PINs in `params` are the caller's to wipe; the library wipes its copies.
///
/// `answer` gets the answer, or why it was refused.
///
/// # Safety
/// `method` and `params` point to as many bytes as their lengths say, `answer` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmon_device_call(
    device: ZmonDevice,
    method: *const c_char,
    method_length: usize,
    params: *const c_char,
    params_length: usize,
    answer: *mut ZmonBuffer,
) -> ZmonStatus {
    let answered = guarded(|| {
        if answer.is_null() {
            return Err(null("answer"));
        }
        // SAFETY: the caller vouches for every pointer.
        let (method, params) = unsafe {
            clear_buffer(answer);
            let method = read_text(method, method_length, "method")?;
            (method, read_text(params, params_length, "params")?)
        };
        let request = Request::parse(&method, &params)?;
        handles::get(device)?.call(request)
    });
    // SAFETY: null, or the caller vouches for `answer`.
    unsafe { finish(answer, answered) }
}

/// The eight properties of [W 11.2] as one JSON object: provisioningState, pairingCode, qrCodeData (PNG in
/// base64), expirationTime (seconds), errorMessage, isProvisioned, serverUrl, certificateStatus. While a
/// window is open it holds the pairing code: for the screen in front of the operator, never for a log.
///
/// # Safety
/// `answer` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmon_device_properties(
    device: ZmonDevice,
    answer: *mut ZmonBuffer,
) -> ZmonStatus {
    // SAFETY: the caller vouches for `answer`.
    unsafe { ask(device, answer, Host::properties) }
}

/// The QR code of the open window: a PNG image of 300 x 300 pixels or a little more, to be shown enlarged.
/// Without a window it is refused, and `answer` says so in JSON.
///
/// # Safety
/// `answer` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmon_device_qr_png(
    device: ZmonDevice,
    answer: *mut ZmonBuffer,
) -> ZmonStatus {
    // SAFETY: the caller vouches for `answer`.
    unsafe { ask(device, answer, Host::qr_png) }
}

/// Stops a device in order and frees its handle. When it returns, calls on other threads have ended and the
/// callback is called no more, whatever the status. A handle that is closed already is refused.
///
/// `problem` may be null.
///
/// # Safety
/// `problem` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmon_device_close(
    device: ZmonDevice,
    problem: *mut ZmonBuffer,
) -> ZmonStatus {
    let closed = guarded(|| {
        // SAFETY: the caller vouches for `problem`.
        unsafe { clear_buffer(problem) };
        if handles::get(device)?.is_in_callback() {
            let rule = "must not be closed by its own callback";
            return Err(Refusal::caller(ZmonStatus::InCallback, "device", rule));
        }
        handles::remove(device)?.close()?;
        Ok(Zeroizing::default())
    });
    // SAFETY: the caller vouches for `problem`.
    unsafe { finish(problem, closed) }
}

/// Wipes and frees what a function has written, and empties the buffer; an empty one and null stay as they
/// are. Every buffer that a function was given is freed so, whatever its status.
///
/// # Safety
/// `buffer` is null, or a buffer of this library whose members nobody has changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmon_buffer_free(buffer: *mut ZmonBuffer) {
    // SAFETY: the caller vouches for `buffer`.
    unsafe { free_buffer(buffer) }
}

/// # Safety
/// `answer` is null or may be written.
unsafe fn ask(
    device: ZmonDevice,
    answer: *mut ZmonBuffer,
    what: impl FnOnce(&Host) -> Outcome<Zeroizing<Vec<u8>>>,
) -> ZmonStatus {
    let answered = guarded(|| {
        if answer.is_null() {
            return Err(null("answer"));
        }
        // SAFETY: not null; the caller of this function vouches for it.
        unsafe { clear_buffer(answer) };
        what(&*handles::get(device)?)
    });
    // SAFETY: null, or the caller of this function vouches for it.
    unsafe { finish(answer, answered) }
}

/// Writes an answer, or the document of a refusal, and returns the status.
///
/// # Safety
/// `to` is null or may be written.
unsafe fn finish(to: *mut ZmonBuffer, outcome: Outcome<Zeroizing<Vec<u8>>>) -> ZmonStatus {
    let (status, bytes) = match outcome {
        Ok(answer) => (ZmonStatus::Ok, answer),
        Err(refused) => (refused.status, Zeroizing::new(refused.document())),
    };
    if !bytes.is_empty() {
        // SAFETY: the caller of this function vouches for `to`.
        unsafe { write_buffer(to, &bytes) };
    }
    status
}

fn null(argument: &'static str) -> Refusal {
    Refusal::caller(ZmonStatus::NullPointer, argument, "must not be null")
}
