//! Accepts connections, as many as are allowed, and turns the others away with the reason.
//! Invariant: running out of file descriptors slows accepting down, it does not end or spin it.
//! Over both numbers connections wait to be accepted, as the system lets them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::UploadRoom;
use super::connection::{self, Place};
use crate::dispatch::registry::Registry;

/// Connections that are being turned away at a time.
const REFUSALS: usize = 32;

/// What every connection leads to.
#[derive(Clone)]
pub(crate) struct Door {
    /// The clients.
    pub(crate) registry: Arc<Registry>,
    /// What their uploads share.
    pub(crate) uploads: UploadRoom,
}

/// A bound port.
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// Why a port can't be had.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}: {error}{hint}")]
pub(crate) struct BindError {
    address: SocketAddr,
    error: std::io::Error,
    hint: &'static str,
}

/// Binds a port; 0 picks a free one.
pub(crate) async fn bind(address: SocketAddr) -> Result<Listener, BindError> {
    let failed = |error: std::io::Error| BindError {
        address,
        hint: match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "; is another pixelboyd running? stop it, or choose another port with --listen"
            }
            std::io::ErrorKind::PermissionDenied => "; ports below 1024 need root",
            std::io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
            _ => "",
        },
        error,
    };
    let socket = TcpListener::bind(address).await.map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok(Listener { socket, address })
}

impl Listener {
    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until the task is dropped.
    pub(crate) async fn serve(self, door: Door, max_connections: usize) {
        let places = Arc::new(Semaphore::new(max_connections));
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        loop {
            match self.socket.accept().await {
                Ok((socket, peer)) => {
                    let (place, held) = match places.clone().try_acquire_owned() {
                        Ok(place) => (Place::Free, Ok(place)),
                        Err(_) => (
                            Place::AllTaken(max_connections),
                            refusals.clone().acquire_owned().await,
                        ),
                    };
                    let door = door.clone();
                    tokio::spawn(async move {
                        connection::serve(socket, peer, door, place).await;
                        drop(held);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}
