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
fn a_gibibyte_of_wav_and_covers_of_200_mib_play_in_a_few_mib() {
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

    // A cover of 200 MiB in front of an MP3, as one frame of its tag.
    let cover: u64 = 200 << 20;
    let syncsafe = |size: u64| [21, 14, 7, 0].map(|shift| (size >> shift) as u8 & 0x7f);
    let mut tag = b"ID3\x04\x00\x00".to_vec();
    tag.extend(syncsafe(cover + 10));
    tag.extend(b"APIC");
    tag.extend(syncsafe(cover));
    tag.extend(b"\0\0\0image/png\0\x03\0");
    let path = folder.path().join("cover.mp3");
    let mut mp3 = sparse(&path, &tag, 20 + cover);
    mp3.seek(SeekFrom::End(0)).unwrap();
    mp3.write_all(&media_bytes("pips-vbr.mp3")).unwrap();
    studio.play(mp3, 5_000).unwrap();
    studio.advance(2_000);

    // A dozen covers of 16 MiB, the most one block holds, in a FLAC.
    let pips = media_bytes("pips.flac");
    let path = folder.path().join("covers.flac");
    let mut flac = sparse(&path, &[b"fLaC\0\0\0\x22", &pips[8..42]].concat(), 42);
    for _ in 0..12 {
        let at = flac.seek(SeekFrom::End(0)).unwrap();
        let picture = b"\x06\xff\xff\xff\0\0\0\x03\0\0\0\x09image/png\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0\x18\0\0\0\0";
        flac.write_all(picture).unwrap();
        flac.write_all(&(0xff_ffff_u32 - 41).to_be_bytes()).unwrap();
        flac.set_len(at + 4 + 0xff_ffff).unwrap();
    }
    flac.seek(SeekFrom::End(0)).unwrap();
    flac.write_all(&pips[42..]).unwrap();
    studio.play(flac, 5_000).unwrap();
    studio.advance(2_000);

    // A comment in a WAV that claims 4 GiB.
    let mut bytes = wav_header(44_100, 1, 88_200);
    bytes.splice(36..36, *b"LIST\xf8\xff\xff\xffINFOICMT\xe0\xff\xff\xff");
    bytes.resize(bytes.len() + 88_200, 1);
    let error = studio.play(std::io::Cursor::new(bytes), 0).unwrap_err();
    assert!(
        error.to_string().contains("it ends within its header"),
        "{error}"
    );

    let grown = peak_kib() - before;
    println!("peak memory grew by {grown} KiB");
    assert!(grown < 16 * 1_024, "peak memory grew by {grown} KiB");
}
