//! What a connection needs besides reading, as a task of its own: so the reader waits for bytes alone.
//! Invariant: what waits is sent as soon as the wire takes it; a client that is not heard for long is given up.

use std::sync::Arc;
use std::time::Duration;

use pixelboy_protocol::{Code, Ping, TableChanged, limits};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::watch;

use super::{End, LAST_BYTES_LIMIT};
use crate::dispatch::outbox::Outbox;
use crate::dispatch::session::Activity;

/// Does what a connection needs besides reading: sends what waits, pings a client that is not heard, tells of a new table.
/// A task of its own, so that the reader waits for bytes alone. Ends when the last byte is out, or with a reason to close.
pub(super) async fn attend(
    outbox: Arc<Outbox>,
    writer: Arc<OwnedWriteHalf>,
    mut changes: watch::Receiver<[u8; 16]>,
    heard: Activity,
) -> End {
    let ping_every = Duration::from_millis(limits::PING_MS);
    let mut last = heard.last();
    let mut unanswered = 0;
    let mut pumping = std::pin::pin!(pump(&outbox, &writer));
    loop {
        tokio::select! {
            () = &mut pumping => return None,
            () = tokio::time::sleep_until((last + ping_every * (unanswered + 1)).into()) => {
                let now = heard.last();
                if now > last {
                    last = now;
                    unanswered = 0;
                    continue;
                }
                unanswered += 1;
                if unanswered >= limits::SILENT_PINGS {
                    return Some((Code::Silent, "nothing came for four pings".into()));
                }
                outbox.send(Ping { token: u64::from(unanswered) });
            }
            Ok(()) = changes.changed() => {
                let digest = *changes.borrow_and_update();
                outbox.send(TableChanged { digest });
            }
        }
    }
}

/// Sends what could not be sent at once; ends with the connection, also where the client does not take its last bytes.
async fn pump(outbox: &Outbox, writer: &OwnedWriteHalf) {
    let sending = async {
        loop {
            outbox.blocked().await;
            drain(outbox, writer).await;
            if outbox.is_over() {
                return;
            }
        }
    };
    let too_late = async {
        outbox.ended().await;
        tokio::time::sleep(LAST_BYTES_LIMIT).await;
    };
    tokio::select! {
        () = sending => {}
        () = too_late => {}
    }
}

pub(super) async fn drain(outbox: &Outbox, writer: &OwnedWriteHalf) {
    while outbox.is_waiting() {
        if writer.writable().await.is_err() {
            return;
        }
        outbox.flush();
    }
}
