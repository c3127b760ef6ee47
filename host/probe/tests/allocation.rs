//! Measures what a probe allocates at most, for real media and for files made to make a decoder allocate.
//! One test, because the allocator counts the whole process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "probe/support.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod support;

use pixelboy_probe::Budget;
use std::sync::atomic::Ordering;
use support::{GOOD, bytes, ogg_page, probe_bytes, sign_chunks, sign_pages};

#[expect(
    unsafe_code,
    reason = "an allocator that counts; it forwards every call unchanged to the system's"
)]
mod counting {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicUsize, Ordering};

    pub(crate) static NOW: AtomicUsize = AtomicUsize::new(0);
    pub(crate) static PEAK: AtomicUsize = AtomicUsize::new(0);

    pub(crate) struct Counting;

    fn grow(bytes: usize) {
        let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
        PEAK.fetch_max(now, Ordering::Relaxed);
    }

    // SAFETY: every method forwards its arguments to `System` and returns what it returned.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            grow(layout.size());
            // SAFETY: the caller's promises hold for `System` too.
            unsafe { System.alloc(layout) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            grow(layout.size());
            // SAFETY: as above.
            unsafe { System.alloc_zeroed(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            NOW.fetch_sub(layout.size(), Ordering::Relaxed);
            // SAFETY: as above.
            unsafe { System.dealloc(pointer, layout) }
        }

        unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
            grow(new_size);
            NOW.fetch_sub(layout.size(), Ordering::Relaxed);
            // SAFETY: as above.
            unsafe { System.realloc(pointer, layout, new_size) }
        }
    }
}

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// The file itself lies in memory here; what the probe adds is measured.
fn peak_of(name: &str, file: Vec<u8>, budget: Budget) -> u64 {
    counting::PEAK.store(counting::NOW.load(Ordering::Relaxed), Ordering::Relaxed);
    let before = counting::NOW.load(Ordering::Relaxed);
    let (result, _) = probe_bytes(file, budget);
    let peak = (counting::PEAK.load(Ordering::Relaxed) - before) as u64;
    let told = match &result {
        Ok(media) => media.describe(),
        Err(refusal) => refusal.to_string(),
    };
    println!("{name}: {} KiB, {told}", peak >> 10);
    peak
}

/// Buffers that do not depend on the file.
const BUFFERS: u64 = 2 << 20;

#[test]
fn no_file_makes_a_probe_allocate_beyond_its_budget() {
    let default = Budget::default();
    let small = Budget {
        max_memory_bytes: 1 << 20,
        ..default
    };
    for name in GOOD.into_iter().chain(["bomb.png"]) {
        for budget in [default, small] {
            let peak = peak_of(name, bytes(name), budget);
            assert!(
                peak <= BUFFERS + budget.max_memory_bytes,
                "{name}: {peak} bytes"
            );
            assert!(peak <= 4 << 20, "{name} is small, but took {peak} bytes");
        }
    }
    for (name, file) in greedy() {
        for budget in [default, small] {
            let peak = peak_of(name, file.clone(), budget);
            assert!(
                peak <= BUFFERS + budget.max_memory_bytes,
                "{name}: {peak} bytes"
            );
        }
    }
    bent_files_stay_within(default);
    bent_files_stay_within(small);
}

fn greedy() -> Vec<(&'static str, Vec<u8>)> {
    let position =
        |bytes: &[u8], of: &[u8]| bytes.windows(of.len()).position(|part| part == of).unwrap();
    let mut cover = bytes("tone.mp3");
    let claim = position(&cover, b"APIC") + 4;
    cover[claim..claim + 4].fill(0xff);

    let ogg = bytes("tone.ogg");
    let second = ogg[1..]
        .windows(4)
        .position(|part| part == b"OggS")
        .unwrap()
        + 1;
    let serial = u32::from_le_bytes(ogg[14..18].try_into().unwrap());
    let mut comment = ogg[..second].to_vec();
    comment.extend(ogg_page(0, 0, serial, 1, b"\x03vorbis\xff\xff\xff\x7fx"));
    let mut books = ogg[..second].to_vec();
    books.extend(ogg_page(0, 0, serial, 1, b"\x03vorbis\0\0\0\0\0\0\0\0\x01"));
    let mut setup = b"\x05vorbis\0BCV\xff\xff\xff\xff\xff".to_vec();
    setup.resize(200, 0);
    books.extend(ogg_page(0, 0, serial, 2, &setup));

    let mut picture = b"fLaC".to_vec();
    picture.extend_from_slice(&bytes("tone.flac")[4..42]);
    picture[4] = 0;
    picture.extend_from_slice(b"\x86\0\0\x20\0\0\0\x03\xff\xff\xff\xff");
    picture.resize(200, 0);

    // Valid headers of 8,191 x 8,191 pixels around nothing.
    let mut jpeg = bytes("photo.jpg");
    let frame = position(&jpeg, b"\xff\xc0");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x1f, 0xff, 0x1f, 0xff]);
    let mut progressive = jpeg.clone();
    progressive[frame + 1] = 0xc2;
    let mut bmp = bytes("picture.bmp");
    bmp[18..26].copy_from_slice(&[0xff, 0x1f, 0, 0, 0xff, 0x1f, 0, 0]);
    let mut webp = bytes("picture.webp");
    let inner = position(&webp, b"\x9d\x01\x2a") + 3;
    webp[inner..inner + 4].copy_from_slice(&[0xff, 0x1f, 0xff, 0x1f]);
    let mut gif = bytes("interlaced.gif");
    gif[6..10].copy_from_slice(&[0xff, 0x1f, 0xff, 0x1f]);
    let frame = position(&gif, &[0x2c, 0, 0, 0, 0, 16, 0, 16, 0]);
    gif[frame + 5..frame + 9].copy_from_slice(&[0xff, 0x1f, 0xff, 0x1f]);

    // No frame in sight: the reader looks for one until it gives up.
    let mut flac = bytes("tone.flac")[..42].to_vec();
    flac[4] = 0x80;
    flac.resize(40 << 20, 0x55);

    vec![
        ("mp3, cover of 4 GiB", cover),
        ("ogg, comment of 2 GiB", comment),
        ("ogg, code books of 4 TiB", books),
        ("flac, cover of 4 GiB", picture),
        ("flac, 40 MiB without a frame", flac),
        ("jpeg of 67 megapixels", jpeg),
        ("progressive jpeg of 67 megapixels", progressive),
        ("bmp of 67 megapixels", bmp),
        ("webp of 67 megapixels", webp),
        ("gif of 67 megapixels", gif),
    ]
}

/// Bent one byte at a time, with the values that make numbers large, and signed again where there are checksums.
fn bent_files_stay_within(budget: Budget) {
    let mut most = 0;
    for name in GOOD {
        let good = bytes(name);
        // The set-up of Vorbis is long, and all of it decides about memory.
        let (reach, step) = if name == "tone.ogg" {
            (4000, 7)
        } else {
            (160, 1)
        };
        for at in (0..good.len().min(reach)).step_by(step) {
            for value in [0x7f, 0xff] {
                let mut bent = good.clone();
                bent[at] = value;
                match name {
                    "tone.ogg" => sign_pages(&mut bent),
                    "logo.png" | "sprite.png" => sign_chunks(&mut bent),
                    _ => {}
                }
                let before = counting::NOW.load(Ordering::Relaxed);
                counting::PEAK.store(before, Ordering::Relaxed);
                let _ = probe_bytes(bent, budget);
                let peak = (counting::PEAK.load(Ordering::Relaxed) - before) as u64;
                most = most.max(peak);
                assert!(
                    peak <= BUFFERS + budget.max_memory_bytes,
                    "{name}, byte {at} = {value:#x}: {peak} bytes"
                );
            }
        }
    }
    println!("bent: {} KiB at most", most >> 10);
}
