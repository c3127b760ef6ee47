//! Long sound costs little: what is not needed is not read.

use crate::support::{bytes, ogg_page, probe_bytes, probe_counted};
use pixelboy_probe::{Budget, Checked, Refusal};
use std::io::{Seek, Write};
use std::time::Duration;

fn wav_header(data_bytes: u32) -> Vec<u8> {
    let mut header = b"RIFF".to_vec();
    header.extend_from_slice(&data_bytes.saturating_add(36).to_le_bytes());
    header.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
    header.extend_from_slice(&44_100_u32.to_le_bytes());
    header.extend_from_slice(&176_400_u32.to_le_bytes());
    header.extend_from_slice(b"\x04\0\x10\0data");
    header.extend_from_slice(&data_bytes.to_le_bytes());
    header
}

#[test]
fn a_wav_of_a_gigabyte_is_probed_by_its_header_and_first_second() {
    const DATA_BYTES: u32 = 1 << 30;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&wav_header(DATA_BYTES)).unwrap();
    let len = 44 + u64::from(DATA_BYTES);
    file.set_len(len).unwrap();
    file.rewind().unwrap();
    let (result, read) = probe_counted(file, len, Budget::default());
    let media = result.unwrap();
    assert_eq!(
        media.duration.unwrap().as_secs(),
        u64::from(DATA_BYTES) / 176_400
    );
    assert!(read < 256 << 10, "{read} bytes were read");
}

#[test]
fn a_wav_of_a_gigabyte_that_was_cut_says_how_much_came() {
    const DATA_BYTES: u32 = 1 << 30;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&wav_header(DATA_BYTES)).unwrap();
    file.set_len(44 + 5000).unwrap();
    let (result, _) = probe_counted(file, 44 + 5000, Budget::default());
    let refusal = result.unwrap_err();
    assert!(
        matches!(
            refusal,
            Refusal::Truncated {
                declared: Some(0x4000_0000),
                came: 5000,
                ..
            }
        ),
        "{refusal}"
    );
}

fn frames_of_tone() -> Vec<u8> {
    let whole = bytes("tone.mp3");
    let info = whole.windows(4).position(|part| part == b"Info").unwrap() - 21;
    // Behind the header's frame of 182 bytes, before the tag at the end.
    assert!(whole[info + 182..].starts_with(b"\xff\xfb"));
    assert!(whole[whole.len() - 128..].starts_with(b"TAG"));
    whole[info + 182..whole.len() - 128].to_vec()
}

/// Walks a quarter of a megabyte of sound, then the end.
const SMALL: Budget = Budget {
    max_bytes_read: 1 << 20,
    max_bytes_decoded: Budget::MAX_BYTES_DECODED,
    max_pixels: 0,
    max_memory_bytes: Budget::MAX_MEMORY_BYTES,
    max_time: Budget::MAX_TIME,
};

#[test]
fn of_an_mp3_beyond_the_budget_the_beginning_and_the_end_are_walked() {
    let mut long = frames_of_tone().repeat(60);
    let (whole, _) = probe_bytes(long.clone(), Budget::default());
    let whole = whole.unwrap().duration.unwrap();
    assert!(whole > Duration::from_secs(180), "{whole:?}");
    let (part, read) = probe_bytes(long.clone(), SMALL);
    let media = part.unwrap();
    assert_eq!(media.checked, Checked::Part);
    let estimate = media.duration.unwrap();
    assert!(
        estimate.abs_diff(whole) < Duration::from_secs(1),
        "{estimate:?} instead of {whole:?}"
    );
    assert!(read < long.len() as u64 / 2, "{read} bytes were read");

    long.truncate(long.len() - 50);
    let refusal = probe_bytes(long, SMALL).0.unwrap_err();
    assert!(matches!(refusal, Refusal::Truncated { .. }), "{refusal}");
}

/// The sound of the tone again and again, in pages of its own numbering.
fn long_ogg(times: u32) -> Vec<u8> {
    let ogg = bytes("tone.ogg");
    let mut starts: Vec<usize> = (0..ogg.len())
        .filter(|at| ogg[*at..].starts_with(b"OggS\0"))
        .collect();
    starts.push(ogg.len());
    let pages: Vec<&[u8]> = starts
        .windows(2)
        .map(|ends| &ogg[ends[0]..ends[1]])
        .collect();
    let serial = u32::from_le_bytes(ogg[14..18].try_into().unwrap());
    let position = |page: &[u8]| u64::from_le_bytes(page[6..14].try_into().unwrap());
    let body = |page: &[u8]| page[27 + usize::from(page[26])..].to_vec();
    let (headers, sound): (Vec<&[u8]>, Vec<&[u8]>) =
        pages.into_iter().partition(|page| position(page) == 0);
    let mut long = headers.concat();
    let mut number = headers.len() as u32;
    let mut at = 0;
    for round in 0..times {
        for page in &sound {
            at = u64::from(round) * 132_300 + position(page);
            let mut copy = ogg_page(0, at, serial, number, &[]);
            copy.truncate(26);
            copy.extend_from_slice(&page[26..27 + usize::from(page[26])]);
            copy.extend(body(page));
            crate::support::sign(&mut copy);
            long.extend(copy);
            number += 1;
        }
    }
    long.extend(ogg_page(4, at, serial, number, &[]));
    long
}

#[test]
fn of_an_ogg_beyond_the_budget_the_beginning_and_the_end_are_walked() {
    let mut long = long_ogg(120);
    let (whole, _) = probe_bytes(long.clone(), Budget::default());
    assert_eq!(whole.unwrap().duration, Some(Duration::from_secs(360)));
    let (part, read) = probe_bytes(long.clone(), SMALL);
    let media = part.unwrap();
    assert_eq!(
        (media.checked, media.duration),
        (Checked::Part, Some(Duration::from_secs(360)))
    );
    assert!(read < long.len() as u64, "{read} bytes were read");

    long.truncate(long.len() - 50);
    let refusal = probe_bytes(long, SMALL).0.unwrap_err();
    assert!(matches!(refusal, Refusal::Truncated { .. }), "{refusal}");
}

#[test]
fn of_a_flac_beyond_the_budget_the_end_must_be_there() {
    let frugal = Budget {
        max_bytes_decoded: 40_000,
        ..Budget::default()
    };
    let flac = bytes("tone.flac");
    let media = probe_bytes(flac.clone(), frugal).0.unwrap();
    assert_eq!(
        (media.checked, media.duration),
        (Checked::Part, Some(Duration::from_secs(2)))
    );
    let refusal = probe_bytes(flac[..flac.len() - 500].to_vec(), frugal)
        .0
        .unwrap_err();
    assert!(
        matches!(
            refusal,
            Refusal::Truncated {
                declared: Some(44_100),
                ..
            }
        ),
        "{refusal}"
    );
}
