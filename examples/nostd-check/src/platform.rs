//! The least a program without std brings along: memory, a panic handler, an exit code.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    panic::PanicInfo,
    ptr::null_mut,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Bytes of static memory; the check reports how many it used.
const MEMORY: usize = 4 * 1024 * 1024;

#[link(name = "c")]
unsafe extern "C" {
    fn abort() -> !;
}

/// Hands out static memory and never takes it back: enough for one run.
struct Bump {
    memory: UnsafeCell<[u8; MEMORY]>,
    used: AtomicUsize,
}

// SAFETY: a byte is handed out at most once, by the atomic `used`.
unsafe impl Sync for Bump {}

// SAFETY: regions are aligned, inside `memory`, and never overlap.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.memory.get().cast::<u8>();
        let mut region = null_mut();
        let _taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            let start = (base as usize + used).next_multiple_of(layout.align()) - base as usize;
            let end = start.checked_add(layout.size()).filter(|end| *end <= MEMORY)?;
            // SAFETY: start ≤ end ≤ MEMORY.
            region = unsafe { base.add(start) };
            Some(end)
        });
        region
    }

    unsafe fn dealloc(&self, _region: *mut u8, _layout: Layout) {}
}

#[global_allocator]
static HEAP: Bump = Bump { memory: UnsafeCell::new([0; MEMORY]), used: AtomicUsize::new(0) };

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    // SAFETY: `abort` takes nothing and does not return.
    unsafe { abort() }
}

/// The precompiled `core` names it; with `panic = "abort"` nothing calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Named by the precompiled `alloc` for the same reason.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: `abort` takes nothing and does not return.
    unsafe { abort() }
}
