/*
 * Z Monitor provisioning: the device, for C and C++.
 *
 * Made from crates/ffi/src/door.rs; docs/ffi.md explains it. Texts are UTF-8 with their length, answers
 * are JSON, and every status but ZMON_STATUS_OK comes with a JSON document of code, message and next step.
 */

#ifndef ZMON_H
#define ZMON_H

#include <stddef.h>
#include <stdint.h>

/**
 * How a call ended. Every status but `OK` comes with a JSON document of code, message and next step,
 * if the caller has given a place for it.
 */
typedef enum {
    /**
     * It was done.
     */
    ZMON_STATUS_OK = 0,
    /**
     * The device refused it, or could not do it; the document has the reason.
     */
    ZMON_STATUS_REFUSED = 1,
    /**
     * A pointer that must not be null was null.
     */
    ZMON_STATUS_NULL_POINTER = 2,
    /**
     * A text is not UTF-8.
     */
    ZMON_STATUS_NOT_UTF8 = 3,
    /**
     * No method has this name.
     */
    ZMON_STATUS_UNKNOWN_METHOD = 4,
    /**
     * The JSON text is none, or not what the function takes; the document names member and rule.
     */
    ZMON_STATUS_MALFORMED = 5,
    /**
     * No open device has this handle.
     */
    ZMON_STATUS_CLOSED = 6,
    /**
     * It would wait for the callback that it is called from.
     */
    ZMON_STATUS_IN_CALLBACK = 7,
    /**
     * A defect of the library; the call had no answer, the device goes on as far as it can.
     */
    ZMON_STATUS_PANICKED = 8,
} zmon_status;

/**
 * Bytes that the library hands out. A zero byte follows them, which `length` does not count, so that
 * text is a C string too. `zmon_buffer_free` wipes and frees them and empties the buffer.
 */
typedef struct {
    /**
     * The bytes; null when there are none.
     */
    char *data;
    /**
     * How many.
     */
    size_t length;
} zmon_buffer;

/**
 * What the caller wants to be told events with. `event` is one JSON object of `length` bytes with a zero
 * byte behind it, and lives as long as the call.
 */
typedef void (*zmon_callback)(void *user_data, const char *event, size_t length);

/**
 * An open device. 0 is none, and the number of a closed device is never given out again.
 */
typedef uint64_t zmon_device;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library, a C string that is never freed.
 */
const char *zmon_version(void);

/**
 * Makes a new device in an empty directory: keys, database, anchors, first operators. `order` is JSON,
 * docs/ffi.md has its members. The PINs in it are the caller's to wipe; the library wipes its copies.
 *
 * `answer` gets who the device is, or why it was refused; it may be null.
 *
 * # Safety
 * `order` points to `order_length` bytes, `answer` is null or may be written.
 */
zmon_status zmon_device_make(const char *order,
                             size_t order_length,
                             zmon_buffer *answer);

/**
 * Opens the device of a directory and starts its service. `configuration` is JSON:
 * {"directory": "/var/lib/monitor", "settings": {"listen": "192.168.1.100:8443"}}, where settings are
 * the keys of device.toml and win over that file. No environment variable is read.
 *
 * `callback` may be null. It is called on one thread of the library, one event after the other, from
 * before this function returns until zmon_device_close has returned. It may call any function here but
 * zmon_device_close of its own device. It must not throw.
 *
 * `device` gets the handle, 0 when nothing was opened; `problem`, which may be null, why.
 *
 * # Safety
 * `configuration` points to `configuration_length` bytes, `device` may be written, `problem` is null or
 * may be written, `callback` may be called with `user_data` on another thread.
 */
zmon_status zmon_device_open(const char *configuration,
                             size_t configuration_length,
                             zmon_callback callback,
                             void *user_data,
                             zmon_device *device,
                             zmon_buffer *problem);

/**
 * Asks something of a device and waits for the answer, at most about a minute. Any thread may call, and
 * several at a time. `params` is a JSON object; null of length 0 is {}.
 *
 * Methods of [W 11.2]: enterProvisioningMode {operator, pin}, exitProvisioningMode {}, regenerateQRCode
 * {}, simulateConfiguration {}, reprovisionDevice {operator, pin, confirm: true}. Others: status, link,
 * identity, qr, operators, confirmStation {operator, pin, words}, refuseStation, retry {operator, pin},
 * reset, renew, deprovision, factoryReset, migrate, postponeMigration, createAdministrator, addOperator,
 * listOperators, removeOperator, setPin, unlockOperator, courier, log, verify. docs/ffi.md has their
 * members. PINs in `params` are the caller's to wipe; the library wipes its copies.
 *
 * `answer` gets the answer, or why it was refused.
 *
 * # Safety
 * `method` and `params` point to as many bytes as their lengths say, `answer` may be written.
 */
zmon_status zmon_device_call(zmon_device device,
                             const char *method,
                             size_t method_length,
                             const char *params,
                             size_t params_length,
                             zmon_buffer *answer);

/**
 * The eight properties of [W 11.2] as one JSON object: provisioningState, pairingCode, qrCodeData (PNG in
 * base64), expirationTime (seconds), errorMessage, isProvisioned, serverUrl, certificateStatus. While a
 * window is open it holds the pairing code: for the screen in front of the operator, never for a log.
 *
 * # Safety
 * `answer` may be written.
 */
zmon_status zmon_device_properties(zmon_device device,
                                   zmon_buffer *answer);

/**
 * The QR code of the open window: a PNG image of 300 x 300 pixels or a little more, to be shown enlarged.
 * Without a window it is refused, and `answer` says so in JSON.
 *
 * # Safety
 * `answer` may be written.
 */
zmon_status zmon_device_qr_png(zmon_device device,
                               zmon_buffer *answer);

/**
 * Stops a device in order and frees its handle. When it returns, calls on other threads have ended and the
 * callback is called no more, whatever the status. A handle that is closed already is refused.
 *
 * `problem` may be null.
 *
 * # Safety
 * `problem` is null or may be written.
 */
zmon_status zmon_device_close(zmon_device device,
                              zmon_buffer *problem);

/**
 * Wipes and frees what a function has written, and empties the buffer; an empty one and null stay as they
 * are. Every buffer that a function was given is freed so, whatever its status.
 *
 * # Safety
 * `buffer` is null, or a buffer of this library whose members nobody has changed.
 */
void zmon_buffer_free(zmon_buffer *buffer);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ZMON_H */
