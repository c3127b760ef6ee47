//! Whatever comes, a probe returns, and reads no more than it may.

use crate::support::{GOOD, bytes, probe_bytes, sign_chunks, sign_pages};
use pixelboy_probe::Budget;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_oneof, proptest};
use proptest::sample::{Index, select};

/// Small enough that every limit is met now and then.
fn budgets() -> impl Strategy<Value = Budget> {
    let sizes = || prop_oneof![Just(0), 0..100_000_u64, Just(64 << 20)];
    (sizes(), sizes(), sizes(), sizes()).prop_map(|(read, decoded, pixels, memory)| Budget {
        max_bytes_read: read,
        max_bytes_decoded: decoded,
        max_pixels: pixels,
        max_memory_bytes: memory,
        ..Budget::default()
    })
}

fn starts() -> impl Strategy<Value = &'static [u8]> {
    const STARTS: [&[u8]; 12] = [
        b"",
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"BM",
        b"RIFF\xff\xff\0\0WEBP",
        b"RIFF\xff\xff\0\0WAVEfmt ",
        b"fLaC\0\0\0\x22",
        b"OggS\0\x02",
        b"ID3\x03\0\0\0\0\0\x0a",
        b"ID3\x04\0\0\0\0\x01\0",
        b"\xff\xfb\x90\x64",
    ];
    select(&STARTS[..])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_behind_any_start_is_answered_within_the_budget(
        start in starts(),
        noise in vec(any::<u8>(), 0..6000),
        budget in budgets(),
    ) {
        let (_, read) = probe_bytes([start, &noise].concat(), budget);
        prop_assert!(read <= budget.max_bytes_read);
    }

    #[test]
    fn bent_files_are_answered_within_the_budget(
        name in select(&GOOD[..]),
        changes in vec((any::<Index>(), any::<u8>()), 1..20),
        budget in budgets(),
    ) {
        let mut bent = bytes(name);
        for (at, value) in changes {
            let at = at.index(bent.len());
            bent[at] = value;
        }
        let (_, read) = probe_bytes(bent, budget);
        prop_assert!(read <= budget.max_bytes_read);
    }

    #[test]
    fn files_with_bent_headers_are_answered_within_the_budget(
        name in select(&GOOD[..]),
        changes in vec((0..120_usize, any::<u8>()), 1..6),
        budget in budgets(),
    ) {
        let mut bent = bytes(name);
        for (at, value) in changes {
            if let Some(byte) = bent.get_mut(at) {
                *byte = value;
            }
        }
        let (_, read) = probe_bytes(bent, budget);
        prop_assert!(read <= budget.max_bytes_read);
    }

    #[test]
    fn bent_files_with_right_checksums_are_answered_within_the_budget(
        name in select(&["tone.ogg", "logo.png", "sprite.png"][..]),
        changes in vec((0..4000_usize, any::<u8>()), 1..10),
        budget in budgets(),
    ) {
        let mut bent = bytes(name);
        for (at, value) in changes {
            if let Some(byte) = bent.get_mut(at) {
                *byte = value;
            }
        }
        if name == "tone.ogg" {
            sign_pages(&mut bent);
        } else {
            sign_chunks(&mut bent);
        }
        let (_, read) = probe_bytes(bent, budget);
        prop_assert!(read <= budget.max_bytes_read);
    }

    #[test]
    fn no_beginning_of_a_good_file_is_taken_for_the_whole(name in select(&GOOD[..]), len in any::<Index>()) {
        let whole = bytes(name);
        let len = len.index(whole.len());
        let (result, _) = probe_bytes(whole[..len].to_vec(), Budget::default());
        // An encoder may count its header among the frames of an mp3, so the last one cannot be missed.
        let only_last_frame = name.ends_with(".mp3") && whole.len() - len <= 300;
        prop_assert!(result.is_err() || only_last_frame, "{len} of {} bytes of {name} were accepted", whole.len());
    }
}
