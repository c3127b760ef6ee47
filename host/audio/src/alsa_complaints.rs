//! Keeps ALSA's own messages off standard error: without a sound card it prints a page for every attempt.
//! Invariant: set once per process, never unset; the messages go to the log at `debug`.
//! The one unsafe module: C calls back into Rust here, and Rust has no other way to say so.

#![expect(
    unsafe_code,
    reason = "ALSA takes its error handler as a C function pointer"
)]

use std::ffi::{CStr, c_char, c_int};
use std::sync::Once;

/// Sends ALSA's complaints to the log instead of standard error.
pub(crate) fn catch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        type Fixed =
            unsafe extern "C" fn(*const c_char, c_int, *const c_char, c_int, *const c_char);
        type Variadic =
            unsafe extern "C" fn(*const c_char, c_int, *const c_char, c_int, *const c_char, ...);
        let handler: Fixed = log_complaint;
        // SAFETY: ALSA calls the handler with these five arguments first and the format's after them. A function
        // that ignores the trailing ones may be called so in the C calling conventions of 64-bit Linux (x86-64,
        // aarch64, riscv64), where named arguments of variadic and plain functions travel alike and the caller
        // cleans up. Both are plain function pointers of the same size. The handler itself lives forever.
        unsafe {
            let handler: Variadic = std::mem::transmute::<Fixed, Variadic>(handler);
            alsa_sys::snd_lib_error_set_handler(Some(handler));
        }
    });
}

/// Logs where the complaint came from and its format; the values in it cannot be read without variadic arguments.
unsafe extern "C" fn log_complaint(
    _file: *const c_char,
    _line: c_int,
    function: *const c_char,
    code: c_int,
    format: *const c_char,
) {
    // SAFETY: ALSA passes null or pointers to constant, zero-terminated strings.
    let (function, format) = unsafe { (text(function), text(format)) };
    tracing::debug!(%function, code, "alsa: {format}");
}

/// # Safety
/// `pointer` is null or points to a zero-terminated string that outlives the call.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: not null, and zero-terminated by the caller's promise.
    unsafe { CStr::from_ptr(pointer) }
        .to_string_lossy()
        .into_owned()
}
