//! What stands before the music in a file: recognizes the container and steps over tags, covers and comments.
//! Invariant: reads a bounded amount and keeps less than 5 KiB. The decoder's library would load covers and comments
//! whole, and trust their declared sizes: a header of 50 bytes could ask it for 4 GiB.
//! Not here: whether the music itself is sound; that shows when it is decoded.

use crate::station::MusicSource;
use std::io::{self, ErrorKind, SeekFrom};

/// How far into a file an MP3 may begin.
const MP3_WITHIN_BYTES: u64 = 1 << 20;
/// No format description is longer; the usual one has 16 or 40 bytes.
const MAX_WAV_FORMAT_BYTES: u32 = 4_096;
const FLAC_STREAM_INFO_BYTES: usize = 34;

/// A container that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    Mp3,
    Wav,
    Flac,
    Ogg,
}

/// Where the music is, and what the decoder is shown in front of it.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) container: Container,
    /// Stands for everything before `begin`.
    pub(crate) head: Vec<u8>,
    pub(crate) begin: u64,
    /// Bytes of music from `begin` on.
    pub(crate) len: u64,
}

/// Why there is no front.
#[derive(Debug)]
pub(crate) enum NoFront {
    /// The source could not be read.
    Read(io::Error),
    /// It was read, and is nothing that can be played.
    Unknown(&'static str),
}

impl From<io::Error> for NoFront {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => Self::Unknown("it ends within its header"),
            _ => Self::Read(error),
        }
    }
}

/// Looks at a source of `total` bytes.
pub(crate) fn find(source: &mut dyn MusicSource, total: u64) -> Result<Front, NoFront> {
    let begin = after_tags(source, total)?;
    let mut magic = [0; 4];
    let known = read_at(source, begin, &mut magic).is_ok();
    match &magic {
        b"RIFF" if known => wav(source, begin, total),
        b"fLaC" if known => flac(source, begin, total),
        b"OggS" if known => Ok(plain(Container::Ogg, begin, total)),
        _ => mp3(source, begin, total),
    }
}

fn plain(container: Container, begin: u64, total: u64) -> Front {
    Front {
        container,
        head: Vec::new(),
        begin,
        len: total.saturating_sub(begin),
    }
}

fn read_at(source: &mut dyn MusicSource, at: u64, bytes: &mut [u8]) -> io::Result<()> {
    source.seek(SeekFrom::Start(at))?;
    source.read_exact(bytes)
}

/// The offset after all leading ID3v2 tags; a cover makes them up to 256 MiB long.
fn after_tags(source: &mut dyn MusicSource, total: u64) -> Result<u64, NoFront> {
    let mut at = 0;
    loop {
        let mut head = [0; 10];
        match read_at(source, at, &mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(at),
            Err(error) => return Err(error.into()),
        }
        let [b'I', b'D', b'3', _, _, flags, size @ ..] = head else {
            return Ok(at);
        };
        if size.iter().any(|byte| *byte > 0x7f) {
            return Ok(at);
        }
        let body = size
            .iter()
            .fold(0_u64, |sum, byte| (sum << 7) | u64::from(*byte));
        let footer = if flags & 0x10 == 0 { 0 } else { 10 };
        at += 10 + body + footer;
        if at >= total {
            return Err(NoFront::Unknown("it is a tag without music"));
        }
    }
}

/// Keeps the format chunk, and of the sound's chunk as much as there is.
fn wav(source: &mut dyn MusicSource, begin: u64, total: u64) -> Result<Front, NoFront> {
    let mut riff = [0; 12];
    read_at(source, begin, &mut riff)?;
    if riff.get(8..) != Some(b"WAVE") {
        return Err(NoFront::Unknown("it is a RIFF file, but no WAVE"));
    }
    let mut format = Vec::new();
    let mut at = begin + 12;
    loop {
        let mut chunk = [0; 8];
        read_at(source, at, &mut chunk)?;
        let [a, b, c, d, size @ ..] = chunk;
        let size = u32::from_le_bytes(size);
        at += 8;
        match &[a, b, c, d] {
            b"fmt " if size <= MAX_WAV_FORMAT_BYTES => {
                format.resize(size as usize, 0);
                read_at(source, at, &mut format)?;
            }
            b"data" if !format.is_empty() => {
                let there = total.saturating_sub(at);
                // A recorder that was cut off, or wrote into a pipe, leaves no size or the largest.
                let len = match size {
                    0 | u32::MAX => there,
                    size => there.min(u64::from(size)),
                };
                let data_bytes = u32::try_from(len).unwrap_or(u32::MAX);
                let mut head = b"RIFF".to_vec();
                // "WAVE", two chunks' heads, the format; a full 32 bits means: as much as there is.
                let riff_bytes = data_bytes.saturating_add(format.len() as u32 + 20);
                head.extend(riff_bytes.to_le_bytes());
                head.extend(b"WAVEfmt ");
                head.extend((format.len() as u32).to_le_bytes());
                head.append(&mut format);
                head.extend(b"data");
                head.extend(data_bytes.to_le_bytes());
                return Ok(Front {
                    container: Container::Wav,
                    head,
                    begin: at,
                    len,
                });
            }
            b"data" => return Err(NoFront::Unknown("its WAV header has no format")),
            _ => {}
        }
        // Chunks begin at even offsets. Each step goes on by 8 bytes at least, and ends at the file's end.
        at += u64::from(size) + u64::from(size & 1);
    }
}

/// Keeps the stream's description, and leaves out comments, covers and the seek table (which may be wrong; the
/// decoder finds its way by halving).
fn flac(source: &mut dyn MusicSource, begin: u64, total: u64) -> Result<Front, NoFront> {
    let mut head = b"fLaC".to_vec();
    let mut at = begin + 4;
    loop {
        let mut block = [0; 4];
        read_at(source, at, &mut block)?;
        let [kind, a, b, c] = block;
        let size = u32::from_be_bytes([0, a, b, c]);
        at += 4;
        if head.len() == 4 {
            if kind & 0x7f != 0 || size as usize != FLAC_STREAM_INFO_BYTES {
                return Err(NoFront::Unknown("its FLAC header is damaged"));
            }
            let mut info = [0; FLAC_STREAM_INFO_BYTES];
            read_at(source, at, &mut info)?;
            // The last block, as far as the decoder is shown.
            head.extend([0x80, a, b, c]);
            head.extend(info);
        }
        at += u64::from(size);
        if kind & 0x80 != 0 {
            return Ok(Front {
                container: Container::Flac,
                head,
                begin: at,
                len: total.saturating_sub(at),
            });
        }
    }
}

/// Looks for the first frame, so that the decoder does not search a gibibyte of something else.
fn mp3(source: &mut dyn MusicSource, begin: u64, total: u64) -> Result<Front, NoFront> {
    let within = MP3_WITHIN_BYTES.min(total.saturating_sub(begin));
    source.seek(SeekFrom::Start(begin))?;
    let mut block = [0; 4_096];
    let mut seen = 0_u64;
    let mut window = 0_u32;
    while seen < within {
        let count = source.read(&mut block)?;
        if count == 0 {
            break;
        }
        for byte in block.iter().take(count) {
            window = (window << 8) | u32::from(*byte);
            seen += 1;
            if seen >= 4 && is_mp3_frame(window) {
                return Ok(plain(Container::Mp3, begin + seen - 4, total));
            }
        }
    }
    Err(NoFront::Unknown(
        "its contents are no MP3, WAV, FLAC or OGG Vorbis",
    ))
}

/// Whether four bytes can head a frame of MPEG audio, layer III.
fn is_mp3_frame(header: u32) -> bool {
    let sync = header >> 21 == 0x7ff;
    let version = header >> 19 & 3;
    let layer = header >> 17 & 3;
    let bit_rate = header >> 12 & 15;
    let sample_rate = header >> 10 & 3;
    sync && version != 1 && layer == 1 && bit_rate != 15 && bit_rate != 0 && sample_rate != 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn front(bytes: &[u8]) -> Result<Front, NoFront> {
        find(&mut Cursor::new(bytes.to_vec()), bytes.len() as u64)
    }

    fn tag(body: usize) -> Vec<u8> {
        let mut bytes = b"ID3\x04\x00\x00".to_vec();
        bytes.extend([21, 14, 7, 0].map(|shift| (body >> shift) as u8 & 0x7f));
        bytes.resize(bytes.len() + body, 0xAA);
        bytes
    }

    const FRAME: [u8; 4] = [0xFF, 0xFB, 0x50, 0xC0];

    #[test]
    fn an_mp3_begins_at_its_first_frame_behind_tags_and_padding() {
        let mut bytes = tag(300);
        bytes.extend(tag(5));
        bytes.extend([0; 7]);
        bytes.extend(FRAME);
        bytes.extend([1; 50]);
        let front = front(&bytes).unwrap();
        assert_eq!(front.container, Container::Mp3);
        assert_eq!((front.begin, front.len), (332, 54));
        assert!(front.head.is_empty());
    }

    #[test]
    fn a_wav_is_shown_as_its_format_and_sound_alone() {
        let format = [1, 0, 1, 0, 0x44, 0xAC, 0, 0, 0x88, 0x58, 1, 0, 2, 0, 16, 0];
        for (declared, len) in [(6_u32, 6), (100, 8), (0, 8), (u32::MAX, 8)] {
            let mut bytes = b"RIFF\0\0\0\0WAVELIST".to_vec();
            bytes.extend(5_u32.to_le_bytes());
            bytes.extend(b"INFOx\0fmt ");
            bytes.extend(16_u32.to_le_bytes());
            bytes.extend(format);
            bytes.extend(b"data");
            bytes.extend(declared.to_le_bytes());
            let begin = bytes.len() as u64;
            bytes.extend([9; 8]);
            let front = front(&bytes).unwrap();
            assert_eq!(front.container, Container::Wav);
            assert_eq!(
                (front.begin, front.len),
                (begin, len),
                "declared {declared}"
            );
            assert_eq!(front.head.len(), 44);
            assert_eq!(front.head[4..8], (len as u32 + 36).to_le_bytes());
            assert_eq!(front.head[20..36], format);
            assert_eq!(front.head[40..], (len as u32).to_le_bytes());
        }
    }

    #[test]
    fn a_flac_is_shown_without_its_covers() {
        let mut bytes = b"fLaC\0\0\0\x22".to_vec();
        bytes.extend([7; 34]);
        bytes.extend([6, 0, 1, 0]);
        bytes.extend([0xAA; 256]);
        bytes.extend([0x81, 0, 0, 3, 0, 0, 0]);
        let begin = bytes.len() as u64;
        bytes.extend([5; 20]);
        let front = front(&bytes).unwrap();
        assert_eq!(
            (front.container, front.begin, front.len),
            (Container::Flac, begin, 20)
        );
        assert_eq!(front.head[..8], *b"fLaC\x80\0\0\x22");
        assert_eq!(front.head[8..], [7; 34]);
    }

    #[test]
    fn what_is_no_music_is_refused_and_every_cut_through_a_header_too() {
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
        wav.extend([0; 16]);
        wav.extend(b"data\x04\0\0\0");
        let mut flac = b"fLaC\0\0\0\x22".to_vec();
        flac.extend([7; 34]);
        flac.extend([0x81, 0, 0, 0]);
        for whole in [wav, flac, tag(40)] {
            for cut in 0..whole.len() {
                assert!(
                    matches!(front(&whole[..cut]), Err(NoFront::Unknown(_))),
                    "cut at {cut}"
                );
            }
        }
        for bytes in [b"a line of text".to_vec(), vec![0; 3 << 20], tag(40)] {
            assert!(matches!(front(&bytes), Err(NoFront::Unknown(_))));
        }
        let mut late = vec![0; 2 << 20];
        late.extend(FRAME);
        assert!(
            matches!(front(&late), Err(NoFront::Unknown(_))),
            "a frame too far in"
        );
        assert!(matches!(
            front(b"RIFF\0\0\0\0AVI LIST\0\0\0\0"),
            Err(NoFront::Unknown(_))
        ));
    }
}
