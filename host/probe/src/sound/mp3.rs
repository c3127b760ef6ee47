//! MP3: frame by frame from the first to the last, behind the tags in front and before those at the end.
//! Decoded are the first second and the last one. Of a file beyond the budget the middle is left out, and the duration
//! comes from its Xing or VBRI header, or else from the average frame.
//! A last frame that is cut, or fewer frames than the header promises, means that the file was not sent whole.

use super::{BUFFER_BYTES, id3};
use crate::fields::{u24_be, u32_be, u32_le};
use crate::media::{Checked, Format, Media, playing_time};
use crate::refusal::Refusal;
use crate::source::{Source, Window};
use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use symphonia::core::codecs::{CODEC_TYPE_MP3, CodecParameters, Decoder, DecoderOptions};
use symphonia::core::formats::Packet;
use symphonia::default::codecs::MpaDecoder;

const FORMAT: Format = Format::Mp3;
/// Frames in a row that make a stream; a shorter sound must reach exactly to the end of the file.
const CHAIN_FRAMES: u32 = 3;
/// How far behind the tags the first frame may be: recordings of a stream begin within a frame.
const SEARCH_BYTES: u64 = 4 << 10;
/// How much is searched for the next frame behind damage.
const RESYNC_BYTES: u64 = 64 << 10;
/// The longest frame is 1,441 bytes.
const LONGEST_FRAME_BYTES: u64 = 1441;
/// What lies between frames may be this much, and a hundredth of the file on top.
const STRAY_BYTES: u64 = 4 << 10;
/// Frames at a decoder's start that may lean on ones it never saw.
const WARM_UP_FRAMES: usize = 10;
/// Title and artist at the end, in the oldest form.
const ID3V1_BYTES: u64 = 128;
/// In front of and behind an APE tag.
const APE_HEADER_BYTES: u64 = 32;
/// How much of the end is walked when the middle is left out.
const TAIL_BYTES: u64 = 128 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    version: u8,
    sample_rate: u32,
    channels: u16,
    samples: u32,
    bytes: u64,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        const KBIT_1: [u32; 15] = [
            0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
        ];
        const KBIT_2: [u32; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
        const RATES: [u32; 3] = [44_100, 48_000, 32_000];
        let [first, second, third, fourth] = bytes.first_chunk::<4>()?;
        let version = second >> 3 & 3;
        let layer = second >> 1 & 3;
        if *first != 0xff || second & 0xe0 != 0xe0 || version == 1 || layer != 1 || fourth & 3 == 2
        {
            return None;
        }
        let (kbits, samples, divisor) = match version {
            3 => (KBIT_1, 1152, 1),
            2 => (KBIT_2, 576, 2),
            _ => (KBIT_2, 576, 4),
        };
        let kbit = kbits
            .get(usize::from(third >> 4))
            .copied()
            .filter(|kbit| *kbit > 0)?;
        let sample_rate = RATES.get(usize::from(third >> 2 & 3))? / divisor;
        let padding = third >> 1 & 1;
        let bytes = u64::from(samples / 8 * kbit * 1000 / sample_rate) + u64::from(padding);
        let channels = if fourth >> 6 == 3 { 1 } else { 2 };
        Some(Self {
            version,
            sample_rate,
            channels,
            samples,
            bytes,
        })
    }

    /// Whether both can be frames of one stream.
    fn suits(&self, other: &Self) -> bool {
        (self.version, self.sample_rate, self.channels)
            == (other.version, other.sample_rate, other.channels)
    }
}

/// What an encoder writes into an otherwise silent first frame.
#[derive(Debug, Default)]
struct Promise {
    frames: Option<u64>,
    bytes: Option<u64>,
    /// Samples that are not part of the music, at both ends.
    silent_samples: u64,
}

impl Promise {
    fn parse(frame: &[u8], header: &Header) -> Option<Self> {
        let side_bytes = match (header.version, header.channels) {
            (3, 1) => 17,
            (3, _) => 32,
            (_, 1) => 9,
            _ => 17,
        };
        let xing = frame.get(4 + side_bytes..).unwrap_or_default();
        if xing.starts_with(b"Xing") || xing.starts_with(b"Info") {
            let flags = u32_be(xing, 4)?;
            let field = |bit: u32, at: usize| {
                if flags & bit != 0 {
                    u32_be(xing, at).map(u64::from)
                } else {
                    None
                }
            };
            let has = |bit: u32, bytes: usize| if flags & bit != 0 { bytes } else { 0 };
            let bytes_at = 8 + has(1, 4);
            let lame_at = bytes_at + has(2, 4) + has(4, 100) + has(8, 4);
            let named = xing.get(lame_at).is_some_and(u8::is_ascii_alphabetic);
            let delays = u24_be(xing, lame_at + 21).filter(|_| named).unwrap_or(0);
            let silent_samples = u64::from(delays >> 12) + u64::from(delays & 0xfff);
            return Some(Self {
                frames: field(1, 8),
                bytes: field(2, bytes_at),
                silent_samples,
            });
        }
        let vbri = frame.get(36..).unwrap_or_default();
        vbri.starts_with(b"VBRI").then(|| Self {
            frames: u32_be(vbri, 14).map(u64::from),
            bytes: u32_be(vbri, 10).map(u64::from),
            silent_samples: 0,
        })
    }
}

/// Where the first frame of a stream is, at `start` or shortly behind it.
pub(crate) fn find_first_frame(source: &Source, start: u64) -> Option<u64> {
    let bytes = source.peek(
        start,
        SEARCH_BYTES + u64::from(CHAIN_FRAMES) * LONGEST_FRAME_BYTES,
    );
    let reaches_end = start + bytes.len() as u64 >= source.len();
    if chain(&bytes, 0, None, reaches_end) {
        return Some(start);
    }
    let last = bytes.len().min(usize::try_from(SEARCH_BYTES).unwrap_or(0));
    (1..last)
        .find(|at| chain(&bytes, *at, None, false))
        .map(|at| start + at as u64)
}

/// Whether `CHAIN_FRAMES` frames of one stream follow each other from `at`, or fewer that end with `bytes`.
fn chain(bytes: &[u8], at: usize, like: Option<&Header>, may_end: bool) -> bool {
    let (mut at, mut like) = (at, like.copied());
    for count in 0..CHAIN_FRAMES {
        if may_end
            && count > 0
            && (at == bytes.len() || is_end_tag(bytes.get(at..).unwrap_or_default()))
        {
            return true;
        }
        let Some(header) = bytes.get(at..).and_then(Header::parse) else {
            return false;
        };
        if !like.get_or_insert(header).suits(&header) {
            return false;
        }
        at = at.saturating_add(usize::try_from(header.bytes).unwrap_or(usize::MAX));
    }
    at <= bytes.len()
}

fn is_end_tag(bytes: &[u8]) -> bool {
    bytes.starts_with(b"TAG") || bytes.starts_with(b"APETAGEX") || bytes.starts_with(b"LYRICSBEGIN")
}

pub(crate) fn examine(source: &Source) -> Result<Media, Refusal> {
    let behind_tags = id3::skip_tags(source, 0)?;
    let end = end_of_sound(source);
    let Some(start) = find_first_frame(source, behind_tags) else {
        let reason = format!("from byte {behind_tags} on it holds no mp3 frames (mpeg layer 3)");
        return Err(Refusal::damaged(FORMAT, reason));
    };
    let mut walk = Walk::new(source, start, end)?;
    walk.run()?;
    walk.finish()
}

/// Where the tags at the end begin.
fn end_of_sound(source: &Source) -> u64 {
    let mut end = source.len();
    if end >= ID3V1_BYTES && source.peek(end - ID3V1_BYTES, 3) == b"TAG" {
        end -= ID3V1_BYTES;
    }
    let footer = source.peek(end.saturating_sub(APE_HEADER_BYTES), APE_HEADER_BYTES);
    if end >= APE_HEADER_BYTES && footer.starts_with(b"APETAGEX") {
        let header = if u32_le(&footer, 20).unwrap_or(0) >> 31 != 0 {
            APE_HEADER_BYTES
        } else {
            0
        };
        end = end.saturating_sub(u64::from(u32_le(&footer, 12).unwrap_or(0)) + header);
    }
    if end >= 9 && source.peek(end - 9, 9) == b"LYRICS200" {
        let digits = source.peek(end.saturating_sub(15), 6);
        let size = String::from_utf8_lossy(&digits).parse::<u64>().unwrap_or(0);
        end = end.saturating_sub(size + 15);
    }
    end
}

struct Walk<'a> {
    source: &'a Source,
    reader: BufReader<Window>,
    start: u64,
    end: u64,
    at: u64,
    first: Header,
    promise: Promise,
    frames: u64,
    samples: u64,
    sound_bytes: u64,
    stray_bytes: u64,
    left_out: bool,
    head: MpaDecoder,
    head_errors: Option<String>,
    /// The last second, one frame each.
    tail: VecDeque<Vec<u8>>,
}

impl<'a> Walk<'a> {
    fn new(source: &'a Source, start: u64, end: u64) -> Result<Self, Refusal> {
        let bytes = source.peek(start, LONGEST_FRAME_BYTES);
        let first = Header::parse(&bytes)
            .ok_or_else(|| Refusal::damaged(FORMAT, "it has no first frame"))?;
        let promise = Promise::parse(&bytes, &first);
        let at = start + promise.as_ref().map_or(0, |_| first.bytes);
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, source.window(0..end));
        reader
            .seek(SeekFrom::Start(at))
            .map_err(|error| Refusal::damaged(FORMAT, error))?;
        Ok(Self {
            source,
            reader,
            start,
            end,
            at,
            first,
            promise: promise.unwrap_or_default(),
            frames: 0,
            samples: 0,
            sound_bytes: 0,
            stray_bytes: 0,
            left_out: false,
            head: decoder()?,
            head_errors: None,
            tail: VecDeque::new(),
        })
    }

    fn run(&mut self) -> Result<(), Refusal> {
        let walk_bytes = self.source.walk_bytes();
        while self.at < self.end {
            let mut start = [0; 4];
            let count = fill(&mut self.reader, &mut start)?;
            let header =
                Header::parse(&start).filter(|header| count == 4 && header.suits(&self.first));
            let Some(header) = header else {
                if !self.resync()? {
                    break;
                }
                continue;
            };
            let frame_end = self.at + header.bytes;
            if frame_end > self.end {
                let place = format!("in its frame {}", self.frames + 1);
                return Err(Refusal::short(FORMAT, place, frame_end, self.end, "bytes"));
            }
            self.take_frame(&header, &start)?;
            self.at = frame_end;
            let left = self.end - self.at;
            if !self.left_out && self.at - self.start > walk_bytes && left > 2 * TAIL_BYTES {
                self.leave_out_the_middle()?;
            }
        }
        Ok(())
    }

    fn take_frame(&mut self, header: &Header, start: &[u8; 4]) -> Result<(), Refusal> {
        let bytes = usize::try_from(header.bytes).unwrap_or(0);
        let second = usize::try_from(self.first.sample_rate / self.first.samples).unwrap_or(0) + 1;
        let is_head = self.frames < second as u64;
        let mut frame = if self.tail.len() >= second + WARM_UP_FRAMES {
            self.tail.pop_front()
        } else {
            None
        }
        .unwrap_or_default();
        frame.clear();
        frame.resize(bytes, 0);
        if let Some((head, body)) = frame.split_first_chunk_mut::<4>() {
            *head = *start;
            fill(&mut self.reader, body)?;
        }
        if is_head && let Err(error) = decode(&mut self.head, &frame) {
            let is_warm = self.frames >= WARM_UP_FRAMES as u64;
            if is_warm && self.head_errors.is_none() {
                self.head_errors = Some(format!("frame {}: {error}", self.frames + 1));
            }
        }
        self.tail.push_back(frame);
        self.frames += 1;
        self.samples += u64::from(header.samples);
        self.sound_bytes += header.bytes;
        Ok(())
    }

    /// Goes on at the next frame behind tags, padding or damage; false when nothing follows.
    fn resync(&mut self) -> Result<bool, Refusal> {
        let start = self.source.peek(self.at, 32);
        // Tags in the middle come from files that were put together.
        if start.starts_with(b"ID3") {
            let behind = id3::skip_tags(self.source, self.at)?;
            return self.go_on_at(behind.min(self.end));
        }
        if start.starts_with(b"TAG") {
            return self.go_on_at((self.at + ID3V1_BYTES).min(self.end));
        }
        if start.starts_with(b"APETAGEX") {
            let bytes = APE_HEADER_BYTES + u64::from(u32_le(&start, 12).unwrap_or(0));
            return self.go_on_at((self.at + bytes).min(self.end));
        }
        let bytes = self
            .source
            .peek(self.at, RESYNC_BYTES.min(self.end - self.at));
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        if zeros > 0 {
            return self.go_on_at(self.at + zeros as u64);
        }
        let reaches_end = self.at + bytes.len() as u64 == self.end;
        let found = (1..bytes.len()).find(|at| chain(&bytes, *at, Some(&self.first), reaches_end));
        let stray = found.unwrap_or(bytes.len()) as u64;
        self.stray_bytes += stray;
        // Tags of other kinds and a little damage are common; more of it would be heard.
        if self.stray_bytes > STRAY_BYTES + (self.at - self.start) / 100 {
            let reason = format!(
                "at byte {} there should be an mp3 frame, something else came",
                self.at
            );
            return Err(Refusal::damaged(FORMAT, reason));
        }
        self.go_on_at(self.at + stray)
    }

    fn leave_out_the_middle(&mut self) -> Result<(), Refusal> {
        self.left_out = true;
        let from = self.end - TAIL_BYTES;
        let bytes = self.source.peek(from, TAIL_BYTES);
        let Some(found) = (0..bytes.len()).find(|at| chain(&bytes, *at, Some(&self.first), true))
        else {
            return Err(Refusal::damaged(FORMAT, "its end holds no mp3 frames"));
        };
        self.tail.clear();
        self.go_on_at(from + found as u64)?;
        Ok(())
    }

    fn go_on_at(&mut self, at: u64) -> Result<bool, Refusal> {
        self.at = at;
        self.reader
            .seek(SeekFrom::Start(at))
            .map_err(|error| Refusal::damaged(FORMAT, error))?;
        Ok(at < self.end)
    }

    fn finish(self) -> Result<Media, Refusal> {
        if self.frames == 0 {
            return Err(Refusal::short(
                FORMAT,
                "behind its first frame",
                self.promise.frames.unwrap_or(1),
                0,
                "frames",
            ));
        }
        if let Some(error) = self.head_errors {
            return Err(Refusal::damaged(FORMAT, error));
        }
        if let Some(bytes) = self.promise.bytes.filter(|_| self.left_out) {
            let came = self.end - self.start;
            if came < bytes {
                return Err(Refusal::short(FORMAT, "in its sound", bytes, came, "bytes"));
            }
        }
        // Some encoders count the header's own frame too.
        let promised = self.promise.frames.filter(|_| !self.left_out);
        if let Some(frames) = promised.filter(|frames| self.frames + 1 < *frames) {
            return Err(Refusal::short(
                FORMAT,
                "in its sound",
                frames,
                self.frames,
                "frames",
            ));
        }
        decode_tail(&self.tail)?;
        let per_frame = u64::from(self.first.samples);
        let samples = if self.left_out {
            let by_average = u128::from(self.end - self.start) * u128::from(self.samples)
                / u128::from(self.sound_bytes.max(1));
            self.promise
                .frames
                .map_or(u64::try_from(by_average).unwrap_or(u64::MAX), |frames| {
                    frames * per_frame
                })
        } else {
            self.samples
        };
        let samples = samples.saturating_sub(self.promise.silent_samples);
        let duration = playing_time(samples, self.first.sample_rate);
        let checked = if self.tail.len() as u64 == self.frames {
            Checked::Whole
        } else {
            Checked::Part
        };
        Ok(Media::audio(
            FORMAT,
            self.first.sample_rate,
            self.first.channels,
            Some(duration),
            checked,
        ))
    }
}

/// Reads until `buffer` is full or the sound ends; how much there was.
fn fill(reader: &mut BufReader<Window>, buffer: &mut [u8]) -> Result<usize, Refusal> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Refusal::damaged(FORMAT, error)),
        }
    }
    Ok(count)
}

fn decoder() -> Result<MpaDecoder, Refusal> {
    let mut parameters = CodecParameters::new();
    parameters.for_codec(CODEC_TYPE_MP3);
    MpaDecoder::try_new(&parameters, &DecoderOptions::default())
        .map_err(|error| Refusal::damaged(FORMAT, error))
}

fn decode(decoder: &mut MpaDecoder, frame: &[u8]) -> Result<(), symphonia::core::errors::Error> {
    decoder
        .decode(&Packet::new_from_slice(0, 0, 0, frame))
        .map(|_| ())
}

fn decode_tail(tail: &VecDeque<Vec<u8>>) -> Result<(), Refusal> {
    let mut decoder = decoder()?;
    for (number, frame) in tail.iter().enumerate() {
        if let Err(error) = decode(&mut decoder, frame)
            && number >= WARM_UP_FRAMES
        {
            let from_end = tail.len() - number;
            return Err(Refusal::damaged(
                FORMAT,
                format_args!("frame {from_end} from the end: {error}"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_give_the_lengths_that_the_standard_gives() {
        let header = Header::parse(&[0xff, 0xfb, 0x90, 0x64])
            .map(|header| (header.bytes, header.sample_rate));
        assert_eq!(header, Some((417, 44_100)));
        let header =
            Header::parse(&[0xff, 0xf3, 0x40, 0xc0]).map(|header| (header.bytes, header.channels));
        assert_eq!(header, Some((104, 1)));
        assert_eq!(Header::parse(&[0xff, 0xfd, 0x90, 0x64]), None, "layer 2");
        assert_eq!(
            Header::parse(&[0xff, 0xfb, 0xf0, 0x64]),
            None,
            "no such bit rate"
        );
        assert_eq!(Header::parse(&[0xff, 0xfb]), None, "too short");
    }

    #[test]
    fn the_longest_frame_is_as_long_as_said() {
        let longest = (0..=0xff_u8)
            .flat_map(|second| (0..=0xff_u8).map(move |third| [0xff, second, third, 0]))
            .filter_map(|bytes| Header::parse(&bytes))
            .map(|header| header.bytes)
            .max();
        assert_eq!(longest, Some(LONGEST_FRAME_BYTES));
    }

    #[test]
    fn a_promise_is_read_from_xing_and_vbri_headers() {
        let header = Header::parse(&[0xff, 0xfb, 0x90, 0xc4])
            .unwrap_or_else(|| unreachable!("a valid header"));
        let mut frame = vec![0; 417];
        frame.splice(21..33, *b"Xing\0\0\0\x01\0\0\x01\0");
        assert_eq!(
            Promise::parse(&frame, &header).and_then(|promise| promise.frames),
            Some(256)
        );
        frame.splice(21..33, [0; 12]);
        assert!(Promise::parse(&frame, &header).is_none());
        frame.splice(36..54, *b"VBRI\0\0\0\0\0\0\0\0\0\x09\0\0\0\x07");
        assert_eq!(
            Promise::parse(&frame, &header).and_then(|promise| promise.frames),
            Some(7)
        );
    }
}
