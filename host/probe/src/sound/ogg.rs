//! Ogg with Vorbis: pages with their checksums from the first to the one marked last, packets decoded on the way.
//! Of a file beyond the budget the middle is left out. The last page's position is the duration.
//! A file whose last page is not marked was not sent whole.

use super::{BUFFER_BYTES, MAX_TAG_BYTES, SAMPLE_BYTES, flac, vorbis};
use crate::fields::{next, u32_le, u64_le};
use crate::media::{Checked, Format, Media, playing_time};
use crate::refusal::Refusal;
use crate::source::{Source, Window};
use std::io::{BufReader, Read, Seek, SeekFrom};
use symphonia::core::codecs::{CODEC_TYPE_VORBIS, CodecParameters, Decoder, DecoderOptions};
use symphonia::core::formats::Packet;
use symphonia::default::codecs::VorbisDecoder;

const FORMAT: Format = Format::Ogg;
const HEADER_BYTES: u64 = 27;
const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;
/// A packet of sound with its set-up is far below this.
const MAX_PACKET_BYTES: usize = 1 << 20;
/// More than two of the longest pages.
const TAIL_BYTES: u64 = 192 << 10;
/// Of a page on which no packet ends.
const NO_POSITION: u64 = u64::MAX;

struct Page {
    flags: u8,
    position: u64,
    serial: u32,
    /// The lengths of the packets' pieces.
    lacing: Vec<u8>,
    body: Vec<u8>,
    bytes: u64,
}

pub(crate) fn examine(source: &Source) -> Result<Media, Refusal> {
    let mut walk = Walk {
        source,
        reader: source.reader(0, BUFFER_BYTES),
        at: 0,
        serial: None,
        ended: false,
        samples_before: 0,
        position: 0,
        left_out: false,
        stream: Stream::default(),
    };
    walk.run()?;
    walk.finish()
}

struct Walk<'a> {
    source: &'a Source,
    reader: BufReader<Window>,
    at: u64,
    serial: Option<u32>,
    ended: bool,
    /// Of earlier pieces of a file that was put together from several.
    samples_before: u64,
    position: u64,
    left_out: bool,
    stream: Stream,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), Refusal> {
        while self.at < self.source.len() {
            let Some(page) = self.next_page()? else {
                if self.ended {
                    // Tags of other kinds behind the end harm nobody.
                    return Ok(());
                }
                let reason = format!(
                    "at byte {} there should be an ogg page, something else came",
                    self.at
                );
                return Err(Refusal::damaged(FORMAT, reason));
            };
            self.at += page.bytes;
            self.take(page)?;
            let left = self.source.len() - self.at;
            if !self.left_out && self.at > self.source.walk_bytes() && left > 2 * TAIL_BYTES {
                self.leave_out_the_middle()?;
            }
        }
        Ok(())
    }

    fn take(&mut self, page: Page) -> Result<(), Refusal> {
        if page.flags & FIRST != 0 {
            if self.ended {
                self.samples_before = self.samples_before.saturating_add(self.position);
                (self.position, self.ended, self.serial) = (0, false, None);
                self.stream.is_follower = true;
            }
            if self.serial.is_none() {
                Stream::check_codec(&page.body)?;
                self.serial = Some(page.serial);
            }
        }
        if self.serial != Some(page.serial) {
            return Ok(());
        }
        if page.position != NO_POSITION {
            self.position = page.position;
        }
        self.ended |= page.flags & LAST != 0;
        if self.left_out || self.stream.is_follower {
            return Ok(());
        }
        self.stream
            .take(self.source, &page)
            .map_err(|reason| Refusal::damaged(FORMAT, reason))
    }

    /// None when there is something else than a page.
    fn next_page(&mut self) -> Result<Option<Page>, Refusal> {
        let came = self.source.len();
        let cut = |end: u64| Refusal::short(FORMAT, "in a page", end, came, "bytes");
        let header = next::<27>(&mut self.reader).map_err(|_| cut(self.at + HEADER_BYTES))?;
        if !header.starts_with(b"OggS\0") {
            return Ok(None);
        }
        let mut lacing = vec![0; usize::from(header[26])];
        let body_start = self.at + HEADER_BYTES + lacing.len() as u64;
        self.reader
            .read_exact(&mut lacing)
            .map_err(|_| cut(body_start))?;
        let body_bytes = lacing
            .iter()
            .map(|piece| usize::from(*piece))
            .sum::<usize>();
        let end = body_start + body_bytes as u64;
        let mut body = vec![0; body_bytes];
        self.reader.read_exact(&mut body).map_err(|_| cut(end))?;

        let mut unsigned = header;
        unsigned[22..26].fill(0);
        let checksum = [&unsigned[..], &lacing, &body].into_iter().fold(0, crc);
        if u32_le(&header, 22) != Some(checksum) {
            let reason = format!(
                "the page at byte {} does not agree with its checksum",
                self.at
            );
            return Err(Refusal::damaged(FORMAT, reason));
        }
        Ok(Some(Page {
            flags: header[5],
            position: u64_le(&header, 6).unwrap_or(NO_POSITION),
            serial: u32_le(&header, 14).unwrap_or(0),
            lacing,
            body,
            bytes: end - self.at,
        }))
    }

    fn leave_out_the_middle(&mut self) -> Result<(), Refusal> {
        self.left_out = true;
        let from = self.source.len() - TAIL_BYTES;
        let bytes = self.source.peek(from, TAIL_BYTES);
        for found in (0..bytes.len()).filter(|at| {
            bytes
                .get(*at..)
                .is_some_and(|rest| rest.starts_with(b"OggS\0"))
        }) {
            self.at = from + found as u64;
            self.reader
                .seek(SeekFrom::Start(self.at))
                .map_err(|error| Refusal::damaged(FORMAT, error))?;
            // The letters can also be sound by chance; then the checksum disagrees.
            let page = self.next_page();
            if matches!(page, Ok(Some(_))) || matches!(page, Err(Refusal::Truncated { .. })) {
                self.reader
                    .seek(SeekFrom::Start(self.at))
                    .map_err(|error| Refusal::damaged(FORMAT, error))?;
                return Ok(());
            }
        }
        Err(Refusal::damaged(FORMAT, "its end holds no ogg pages"))
    }

    fn finish(self) -> Result<Media, Refusal> {
        if !self.ended {
            return Err(Refusal::cut(
                FORMAT,
                "before the page that is marked as its last",
                self.source.len(),
            ));
        }
        let Some((sample_rate, channels)) = self.stream.format.filter(|_| self.stream.is_set_up)
        else {
            return Err(Refusal::damaged(FORMAT, "it ends before its sound begins"));
        };
        let samples = self.samples_before.saturating_add(self.position);
        if samples == 0 {
            return Err(Refusal::damaged(FORMAT, "it holds no sound"));
        }
        let is_part = self.left_out || self.stream.stopped || self.stream.is_follower;
        let checked = if is_part {
            Checked::Part
        } else {
            Checked::Whole
        };
        let duration = Some(playing_time(samples, sample_rate));
        Ok(Media::audio(
            FORMAT,
            sample_rate,
            u16::from(channels),
            duration,
            checked,
        ))
    }
}

/// The packets of the first sound in the file.
#[derive(Default)]
struct Stream {
    packet: Vec<u8>,
    packets: u64,
    identification: Vec<u8>,
    format: Option<(u32, u8)>,
    is_set_up: bool,
    /// None also when the budget does not afford its memory.
    decoder: Option<VorbisDecoder>,
    decoded_bytes: u64,
    /// By the budget.
    stopped: bool,
    /// Another sound follows in the same file; only its pages are checked.
    is_follower: bool,
}

impl Stream {
    fn check_codec(first_page: &[u8]) -> Result<(), Refusal> {
        const OTHERS: [(&[u8], &str); 4] = [
            (b"OpusHead", "opus sound"),
            (b"\x7fFLAC", "flac sound"),
            (b"Speex", "speex sound"),
            (b"\x80theora", "a theora video"),
        ];
        if first_page.starts_with(b"\x01vorbis") {
            return Ok(());
        }
        let found = OTHERS
            .iter()
            .find(|(start, _)| first_page.starts_with(start));
        let found = found
            .map_or("something else than vorbis sound", |(_, name)| name)
            .to_owned();
        Err(Refusal::Unsupported {
            format: FORMAT,
            found,
            instead: "ogg with vorbis, mp3 or flac",
        })
    }

    fn take(&mut self, source: &Source, page: &Page) -> Result<(), String> {
        if page.flags & CONTINUED == 0 {
            self.packet.clear();
        }
        let mut rest = page.body.as_slice();
        for piece in &page.lacing {
            let (bytes, behind) = rest
                .split_at_checked(usize::from(*piece))
                .unwrap_or_default();
            rest = behind;
            self.packet.extend_from_slice(bytes);
            let is_comments = self.packets == 1;
            let tags = MAX_TAG_BYTES.min(source.budget().max_memory_bytes / 4);
            let limit = if is_comments {
                usize::try_from(tags).unwrap_or(0)
            } else {
                MAX_PACKET_BYTES
            };
            if self.packet.len() > limit {
                return Err(format!(
                    "its packet {} has more than {limit} bytes",
                    self.packets + 1
                ));
            }
            if *piece < 255 {
                let packet = std::mem::take(&mut self.packet);
                self.take_packet(source, &packet)?;
                self.packets += 1;
                // Keeps the memory, unless it held a cover picture.
                if !is_comments {
                    self.packet = packet;
                    self.packet.clear();
                }
            }
        }
        Ok(())
    }

    fn take_packet(&mut self, source: &Source, packet: &[u8]) -> Result<(), String> {
        match self.packets {
            0 => {
                let channels = packet.get(11).copied().unwrap_or(0);
                let sample_rate = u32_le(packet, 12).unwrap_or(0);
                if channels == 0 || sample_rate == 0 {
                    return Err(format!("it has {channels} channels at {sample_rate} hz"));
                }
                self.format = Some((sample_rate, channels));
                self.identification = packet.to_vec();
                Ok(())
            }
            1 => {
                let comments = packet
                    .strip_prefix(b"\x03vorbis")
                    .ok_or("its second packet holds no comments")?;
                flac::check_comments(comments)
            }
            2 => {
                let memory = vorbis::check_setup(packet)?;
                self.is_set_up = true;
                if memory > source.budget().max_memory_bytes {
                    self.stopped = true;
                    return Ok(());
                }
                let headers = [self.identification.as_slice(), packet].concat();
                let mut parameters = CodecParameters::new();
                parameters
                    .for_codec(CODEC_TYPE_VORBIS)
                    .with_extra_data(headers.into_boxed_slice());
                let decoder = VorbisDecoder::try_new(&parameters, &DecoderOptions::default());
                self.decoder = Some(decoder.map_err(|error| error.to_string())?);
                Ok(())
            }
            number => self.decode(source, packet, number),
        }
    }

    fn decode(&mut self, source: &Source, packet: &[u8], number: u64) -> Result<(), String> {
        self.stopped |= !source.may_decode_more(self.decoded_bytes);
        let Some(decoder) = self
            .decoder
            .as_mut()
            .filter(|_| !self.stopped && !packet.is_empty())
        else {
            return Ok(());
        };
        let sound = decoder
            .decode(&Packet::new_from_slice(0, 0, 0, packet))
            .map_err(|error| format!("packet {}: {error}", number + 1))?;
        let channels = u64::from(self.format.map_or(0, |(_, channels)| channels));
        self.decoded_bytes += sound.frames() as u64 * channels * SAMPLE_BYTES;
        Ok(())
    }
}

/// The checksum of Ogg: polynomial 0x04c11db7, highest bit first, nothing inverted.
fn crc(start: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    bytes.iter().fold(start, |crc, byte| {
        let index = usize::from((crc >> 24) as u8 ^ byte);
        crc << 8 ^ TABLE.get(index).copied().unwrap_or(0)
    })
}

#[expect(
    clippy::indexing_slicing,
    reason = "computed when compiling; an index out of range would not compile"
)]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            value = if value >> 31 == 1 {
                value << 1 ^ 0x04c1_1db7
            } else {
                value << 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::crc;

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        assert_eq!(crc(0, b"123456789"), 0x89a1_897f);
        assert_eq!(crc(crc(0, b"1234"), b"56789"), crc(0, b"123456789"));
    }
}
