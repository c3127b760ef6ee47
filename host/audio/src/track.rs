//! Decodes one piece of music on a thread of its own: opens it, goes to its start, fills its reel, ends.
//! Invariant: memory is a decoder's packet plus the reel, whatever the file's size.
//! Blocking on the disk is fine here: nobody but the reel waits for this thread.
//! A decoder that fails ends the piece with a reason; what it gave before is played.

use crate::convert::{Converter, Format};
use crate::decoder::{Decoder, Step};
use crate::desk::{Claim, Desk};
use crate::error::AudioError;
use crate::reel::Reel;
use crate::station::MusicSource;
use crate::tape::Tape;
use std::sync::Arc;
use std::time::Duration;

/// Decoded before the piece takes the place of what plays.
const HEAD_START: Duration = Duration::from_millis(200);

/// What a track's thread needs.
pub(crate) struct Track {
    pub(crate) desk: Arc<Desk>,
    pub(crate) claim: Claim,
    pub(crate) source: Box<dyn MusicSource>,
    pub(crate) byte_len: Option<u64>,
    /// The output's format and number.
    pub(crate) format: Format,
    pub(crate) output: u64,
}

impl Track {
    /// Starts the thread. A machine that cannot start one more refuses the play.
    pub(crate) fn spawn(self) {
        let desk = Arc::clone(&self.desk);
        let id = self.claim.id;
        let spawned = std::thread::Builder::new()
            .name("audio-track".to_owned())
            .spawn(move || self.run());
        if let Err(error) = spawned {
            let reason = format!("no thread for its decoder: {error}");
            desk.refuse(id, AudioError::Unplayable(reason));
        }
    }

    fn run(self) {
        let Self {
            desk,
            claim,
            source,
            byte_len,
            format,
            output,
        } = self;
        let id = claim.id;
        if let Err(reason) = roll(&desk, claim, source, byte_len, format, output) {
            // Nothing happens here when it had begun: its reel carries the reason then.
            desk.refuse(id, AudioError::Unplayable(reason));
        }
    }
}

fn roll(
    desk: &Desk,
    claim: Claim,
    source: Box<dyn MusicSource>,
    byte_len: Option<u64>,
    format: Format,
    output: u64,
) -> Result<(), String> {
    let tape = Tape::new(source, byte_len)?;
    // A read error is the better reason than what a decoder makes of it.
    let or_fault = |reason: String| tape.fault().unwrap_or(reason);
    let mut decoder = Decoder::open(&tape).map_err(or_fault)?;
    let duration = decoder.duration();
    let nothing_left = || match claim.start_at {
        Duration::ZERO => "it holds no sound".to_owned(),
        at => format!("it ends before {:.1} s", at.as_secs_f64()),
    };
    if !claim.start_at.is_zero() {
        if duration.is_some_and(|duration| claim.start_at >= duration) {
            return Err(nothing_left());
        }
        decoder.go_to(claim.start_at).map_err(or_fault)?;
    }
    let mut frames = Frames {
        decoder,
        converter: None,
        to: format,
        packet: Vec::new(),
    };
    let reel = Arc::new(Reel::new(
        claim.id,
        claim.about.clone(),
        duration,
        claim.start_at,
        format,
        Arc::clone(&claim.cancelled),
    ));
    let head = usize::try_from(format.frames(HEAD_START)).unwrap_or(0) * format.channels;
    let mut block = Vec::new();
    let mut samples = 0;
    let mut promoted = false;
    loop {
        let more = frames.read(&mut block);
        samples += block.len();
        let ended = !matches!(more, Ok(true));
        if !reel.feed(&block) {
            return Ok(());
        }
        if ended {
            let fault = tape.fault().or(more.err());
            if samples == 0 {
                return Err(fault.unwrap_or_else(nothing_left));
            }
            reel.complete(fault);
        }
        if !promoted && (samples >= head || ended) {
            promoted = true;
            if !desk.promote(&reel, output) {
                return Ok(());
            }
        }
        if ended {
            return Ok(());
        }
    }
}

/// Frames of one piece in the output's format.
struct Frames {
    decoder: Decoder,
    /// Fits the last packet; another packet may bring another.
    converter: Option<(Format, Converter)>,
    to: Format,
    packet: Vec<f32>,
}

impl Frames {
    /// Replaces `out` by what the next packet gives, which may be nothing. False when that was the last one.
    fn read(&mut self, out: &mut Vec<f32>) -> Result<bool, String> {
        out.clear();
        self.packet.clear();
        let step = self.decoder.step(&mut self.packet);
        if let Ok(Step::Samples(format)) = step {
            if self.packet.is_empty() {
                return Ok(true);
            }
            if self
                .converter
                .as_ref()
                .is_none_or(|(from, _)| *from != format)
            {
                self.finish(out);
                self.converter = Some((format, Converter::new(format, self.to)));
            }
            if let Some((_, converter)) = &mut self.converter {
                converter.feed(&self.packet, out);
            }
            return Ok(true);
        }
        self.finish(out);
        step.map(|_| false)
    }

    fn finish(&mut self, out: &mut Vec<f32>) {
        if let Some((_, mut converter)) = self.converter.take() {
            converter.finish(out);
        }
    }
}
