//! Memory does not grow with the file. Alone in its process, as it looks at the whole process's memory.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod pulse;
mod studio;

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use studio::{Studio, media_bytes, wav_header};

/// The most memory this process ever had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn sparse(path: &Path, head: &[u8], len: u64) -> File {
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    file.write_all(head).unwrap();
    file.set_len(len).unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn a_gibibyte_of_wav_and_a_cover_of_200_mib_play_in_a_few_mib() {
    const GIB: u64 = 1 << 30;
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let studio = Studio::with("null".parse().unwrap(), other, "".into());
    studio.play(studio::tone(1.0), 0).unwrap();
    let before = peak_kib();

    let header = wav_header(44_100, 2, (GIB - 44) as u32);
    let wav = sparse(&folder.path().join("long.wav"), &header, GIB);
    let started = studio.play(wav, 0).unwrap();
    let hours = started.duration.unwrap().as_secs_f64() / 3_600.0;
    assert!((1.68..1.70).contains(&hours), "{hours}");
    studio.advance(20_000);
    let wav = sparse(&folder.path().join("long.wav"), &header, GIB);
    studio.play(wav, 6_000_000).unwrap();
    studio.advance(5_000);
    assert_eq!(studio.audio.now().unwrap().position.as_secs(), 6_005);

    let cover = 200 << 20;
    let mut tag = b"ID3\x04\x00\x00".to_vec();
    tag.extend([21, 14, 7, 0].map(|shift| (cover >> shift) as u8 & 0x7f));
    let mut mp3 = sparse(&folder.path().join("cover.mp3"), &tag, 10 + cover);
    mp3.seek(SeekFrom::End(0)).unwrap();
    mp3.write_all(&media_bytes("pips-vbr.mp3")).unwrap();
    studio.play(mp3, 5_000).unwrap();
    studio.advance(2_000);

    let grown = peak_kib() - before;
    println!("peak memory grew by {grown} KiB");
    assert!(grown < 16 * 1_024, "peak memory grew by {grown} KiB");
}
