//! Sound made up on the spot: PCM with 16 bits in one channel.

use std::f64::consts::TAU;

/// Bytes before the samples.
pub const HEADER_BYTES: usize = 44;

/// The header of a file with `data_bytes` of samples.
#[must_use]
pub fn header(rate: u32, data_bytes: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"RIFF");
    put(4, &(36 + data_bytes).to_le_bytes());
    put(8, b"WAVEfmt ");
    put(16, &16u32.to_le_bytes());
    put(20, &1u16.to_le_bytes());
    put(22, &1u16.to_le_bytes());
    put(24, &rate.to_le_bytes());
    put(28, &(rate * 2).to_le_bytes());
    put(32, &2u16.to_le_bytes());
    put(34, &16u16.to_le_bytes());
    put(36, b"data");
    put(40, &data_bytes.to_le_bytes());
    header
}

/// A sine of `hz` with half of the full scale.
#[must_use]
pub fn tone(seconds: f64, rate: u32, hz: f64) -> Vec<u8> {
    let count = (seconds * f64::from(rate)) as u32;
    let mut file = header(rate, count * 2).to_vec();
    for n in 0..count {
        let wave = (f64::from(n) * hz * TAU / f64::from(rate)).sin();
        file.extend_from_slice(&((wave * 16_384.0) as i16).to_le_bytes());
    }
    file
}

/// A file of exactly `bytes`, made piece by piece and never held: a tone over and over.
pub struct Endless {
    bytes: u64,
    start: [u8; HEADER_BYTES],
    period: Vec<u8>,
}

impl Endless {
    /// Of a length below 4 GiB.
    #[must_use]
    pub fn new(bytes: u32) -> Self {
        let rate = 44_100;
        // 441 Hz: 100 samples are one wave.
        let period = tone(100.0 / f64::from(rate), rate, 441.0)[HEADER_BYTES..].repeat(700);
        Self {
            bytes: bytes.into(),
            start: header(rate, bytes - HEADER_BYTES as u32),
            period,
        }
    }

    /// Its length.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Fills `into` with what lies at `offset`.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) {
        let mut at = offset;
        let mut rest = into;
        while !rest.is_empty() {
            let from = match at.checked_sub(HEADER_BYTES as u64) {
                None => &self.start[at as usize..],
                Some(at) => &self.period[at as usize % self.period.len()..],
            };
            let count = from.len().min(rest.len());
            rest[..count].copy_from_slice(&from[..count]);
            at += count as u64;
            rest = &mut rest[count..];
        }
    }
}
