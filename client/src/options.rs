//! How a client presents itself and how long it waits.

use std::path::PathBuf;
use std::time::Duration;

/// How a client presents itself and how long it waits.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shown in the device's log; cut to 64 bytes.
    pub name: String,
    /// A file that keeps who this client is and what has no answer yet, so that the next run goes on also after a crash of this
    /// one; one for each device, and for one program at a time. Each call costs a sync of it. None: an identity for this run,
    /// which the device forgets at [`Client::close`](crate::Client::close).
    pub state: Option<PathBuf>,
    /// For the first connection, up to the device's greeting; later ones are tried again for as long as the client is there.
    pub connect_timeout: Duration,
    /// Of a call that is given none: the device does not begin it later, and the caller waits no longer. Of a transfer: how
    /// long it may rest.
    pub deadline: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: program(),
            state: None,
            connect_timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(30),
        }
    }
}

/// The name of this program, for the device's log.
fn program() -> String {
    let name = std::env::current_exe().ok().and_then(|path| {
        path.file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
    });
    name.unwrap_or_else(|| "pixelboy-client".to_owned())
}
