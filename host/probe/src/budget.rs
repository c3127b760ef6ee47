//! How much one probe may read, decode, remember and take.
//! Invariant: `max_bytes_read` and `max_time` end a probe; `max_bytes_decoded` and `max_memory_bytes` only end the
//! decoding, the container is still walked to its end; `max_pixels` refuses a picture before any pixel is decoded.

use std::time::Duration;

/// Limits of one probe. Zero is allowed everywhere and means "none at all".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes read from the source, over all passes. Reaching it refuses the file; half of it ends decoding.
    pub max_bytes_read: u64,
    /// Bytes of pixels or samples decoded. Reaching it ends decoding and makes the result [`crate::Checked::Part`].
    pub max_bytes_decoded: u64,
    /// Width times height of a picture. More is refused.
    pub max_pixels: u64,
    /// Memory for decoding, in bytes, on top of about 2 MiB of buffers. What would need more is not decoded.
    pub max_memory_bytes: u64,
    /// Time of the probe. Reaching it refuses the file; half of it ends decoding.
    pub max_time: Duration,
}

impl Budget {
    /// 256 MiB: twice the largest picture file that is decoded whole; sound is walked for a quarter of it.
    pub const MAX_BYTES_READ: u64 = 256 << 20;
    /// 128 MiB: a photograph of 44 megapixels, or 12 minutes of music in CD quality.
    pub const MAX_BYTES_DECODED: u64 = 128 << 20;
    /// 64 megapixels: more than any phone camera of today saves by default.
    pub const MAX_PIXELS: u64 = 64 << 20;
    /// 64 MiB: a JPEG of 16 megapixels is decoded, and the smallest supported Raspberry Pi (512 MB) stays at ease.
    pub const MAX_MEMORY_BYTES: u64 = 64 << 20;
    /// 5 s, the time a client waits without seeing anything before it worries.
    pub const MAX_TIME: Duration = Duration::from_secs(5);
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            max_bytes_read: Self::MAX_BYTES_READ,
            max_bytes_decoded: Self::MAX_BYTES_DECODED,
            max_pixels: Self::MAX_PIXELS,
            max_memory_bytes: Self::MAX_MEMORY_BYTES,
            max_time: Self::MAX_TIME,
        }
    }
}
