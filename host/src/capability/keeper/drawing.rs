//! A plugin's pixels on disk, in pieces that fit the store's values.
//! Invariant: what is read is what was staged, or nothing.

use std::time::Duration;

use pixelboy_store::{StoreError, Transaction};
use serde::{Deserialize, Serialize};

use super::super::device::Drawing;

/// Bytes of a piece; a value of the store has at most 64 KiB.
const PIECE_BYTES: usize = 60 << 10;

/// What stands before the pixels.
#[derive(Serialize, Deserialize)]
struct Head {
    width: u32,
    height: u32,
    loops: Option<u32>,
    /// How long each frame is held; its pixels follow, one frame after the other.
    holds_us: Vec<u64>,
}

/// A piece's name in the store.
pub(super) fn key(piece: u32) -> String {
    format!("drawing/{piece:04}")
}

/// In how many pieces it lies.
pub(super) fn pieces(drawing: &Drawing) -> u32 {
    let pixels: usize = drawing.frames.iter().map(|(rgba, _)| rgba.len()).sum();
    (head(drawing).len() + pixels).div_ceil(PIECE_BYTES) as u32
}

/// Its length, then itself.
fn head(drawing: &Drawing) -> Vec<u8> {
    let holds = drawing
        .frames
        .iter()
        .map(|(_, hold)| hold.as_micros() as u64);
    let head = Head {
        width: drawing.width,
        height: drawing.height,
        loops: drawing.loops,
        holds_us: holds.collect(),
    };
    // Plain data: it always encodes.
    let head = postcard::to_allocvec(&head).unwrap_or_default();
    let mut bytes = (head.len() as u32).to_le_bytes().to_vec();
    bytes.extend(head);
    bytes
}

/// Stages all pieces.
pub(super) fn stage(transaction: &mut Transaction, drawing: &Drawing) -> Result<(), StoreError> {
    let mut bytes = head(drawing);
    for (rgba, _) in &drawing.frames {
        bytes.extend_from_slice(rgba);
    }
    for (number, piece) in (0..).zip(bytes.chunks(PIECE_BYTES)) {
        transaction.set_state(&key(number), piece.to_vec())?;
    }
    Ok(())
}

/// Puts the pieces together; none, with a line in the log, where that does not give what was drawn.
pub(super) fn read(transaction: &mut Transaction, pieces: u32) -> Option<Drawing> {
    let drawing = put_together(transaction, pieces);
    if drawing.is_none() {
        tracing::warn!("what a plugin drew could not be read; the screen stays dark");
    }
    drawing
}

fn put_together(transaction: &mut Transaction, pieces: u32) -> Option<Drawing> {
    let mut bytes = Vec::new();
    for piece in 0..pieces {
        bytes.extend(transaction.state(&key(piece)).ok()??);
    }
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (head, pixels) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let head: Head = postcard::from_bytes(head).ok()?;
    let frame_bytes = head.width as usize * head.height as usize * 4;
    if frame_bytes == 0 || pixels.len() != frame_bytes * head.holds_us.len() {
        return None;
    }
    let frames = pixels.chunks(frame_bytes).zip(&head.holds_us);
    let frames = frames.map(|(rgba, hold_us)| (rgba.to_vec(), Duration::from_micros(*hold_us)));
    Some(Drawing {
        width: head.width,
        height: head.height,
        frames: frames.collect(),
        loops: head.loops,
    })
}
