//! A TCP connection's sending side, as the outbox wants it.

use std::io;
use std::sync::Arc;

use tokio::net::tcp::OwnedWriteHalf;

use crate::dispatch::outbox::Wire;

/// Shared between the outbox and the task that waits for the wire to be writable.
pub(super) struct TcpWire(pub(super) Arc<OwnedWriteHalf>);

impl Wire for TcpWire {
    fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }
}
