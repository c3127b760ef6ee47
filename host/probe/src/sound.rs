//! Sound, one file per format. Each walks the container itself and hands the decoder clean packets, because the
//! readers that come with the decoders allocate whatever length a tag claims and do not tell a cut file from a whole one.

pub(crate) mod flac;
pub(crate) mod id3;
pub(crate) mod mp3;
pub(crate) mod ogg;
mod vorbis;
pub(crate) mod wav;

/// Buffer of a reader that walks sound, in bytes.
const BUFFER_BYTES: usize = 32 << 10;
/// More tags than this in one piece, in bytes, are refused: a player holds them in memory.
const MAX_TAG_BYTES: u64 = 16 << 20;
/// Bytes of a decoded sample.
const SAMPLE_BYTES: u64 = 4;
