//! Clients that keep a state file are killed, and the daemon with them in every third round; one round goes on where the
//! last one was cut off, in the other language.
//! Invariant: a line whose client said that it is on disk is there; each line is there once at most, in order.
//! Not here: power cuts, since state files lie on this machine's own disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use faultfs::Random;
use harness::{Identity, Wire, args, daemon};

use crate::device::{self, Device};

/// What the rounds met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Killed {
    /// Clients that were killed.
    pub clients: u64,
    /// Daemons that were killed.
    pub daemons: u64,
    /// Lines whose clients said that they are on disk.
    pub told: u64,
    /// Lines that are there though their client was killed before it said so.
    pub gone_on: u64,
}

/// Runs so many rounds.
///
/// # Errors
/// What was found, in words.
pub fn run(rounds: u64, seed: u64) -> Result<Killed, String> {
    let mut random = Random::new(seed);
    let mut met = Killed::default();
    let folder = tempfile::tempdir().unwrap();
    let (data, state) = (folder.path().join("data"), folder.path().join("state"));
    device::furnish(&data);
    let mut device = Device::new(None);
    device.spawn(&data, device::setup());
    let mut address = device.ready(|| false)?.unwrap();
    let mut told = Vec::new();
    // How long one takes that is not killed, in the one language and the other: on a busy machine ten times longer.
    let mut whole = [Duration::ZERO; 2];
    for round in [3, 4] {
        let begun = Instant::now();
        let state = folder.path().join("other-state");
        let done = client(round, &address.to_string(), &state).wait_with_output();
        if !done.as_ref().is_ok_and(|done| done.status.success()) {
            return Err(format!("a client that is not killed ended with {done:?}"));
        }
        whole[usize::from(is_python(round))] = begun.elapsed();
    }
    let mut wire = Wire::join(address, Identity::new());
    wire.call("del", args!["log.txt"]);
    for round in 1..=rounds {
        let mut client = client(round, &address.to_string(), &state);
        let longest = whole[usize::from(is_python(round))] * 3 / 2;
        let deadline = longest * random.below(1_000) as u32 / 1_000;
        let with_daemon = round % 3 == 0;
        let (first, second) = (random.below(2), Duration::from_micros(random.below(5_000)));
        std::thread::sleep(deadline);
        if with_daemon && first == 0 {
            device.kill();
            std::thread::sleep(second);
        }
        client.kill().unwrap();
        let said = client.wait_with_output().unwrap().stdout;
        if String::from_utf8_lossy(&said).contains("on disk") {
            told.push(round);
            met.told += 1;
        }
        met.clients += 1;
        if with_daemon {
            device.kill();
            device.spawn(&data, device::setup());
            address = device.ready(|| false)?.unwrap();
            met.daemons += 1;
        }
    }
    // One that is not killed brings to its end what is open.
    let last = client(rounds + 1, &address.to_string(), &state)
        .wait_with_output()
        .unwrap();
    if !last.status.success() {
        return Err(format!("the last client ended with {}", last.status));
    }
    told.push(rounds + 1);
    let mut wire = Wire::join(address, Identity::new());
    let values = wire.call("get", args!["log.txt"]);
    let log = String::from_utf8(wire.bytes(&values[0])).map_err(|error| error.to_string())?;
    let plain = fs::read_to_string(data.join("media/log.txt")).unwrap_or_default();
    if log != plain {
        return Err("the plain file and `get` differ".into());
    }
    let lines: Vec<u64> = log.lines().filter_map(|line| line.parse().ok()).collect();
    if !lines.is_sorted_by(|a, b| a < b) {
        return Err(format!("lines are there twice or out of order: {lines:?}"));
    }
    let lost: Vec<_> = told.iter().filter(|line| !lines.contains(line)).collect();
    if !lost.is_empty() {
        return Err(format!("told to be on disk, and not there: {lost:?}"));
    }
    met.gone_on = (lines.len() - told.len()) as u64;
    Ok(met)
}

fn is_python(round: u64) -> bool {
    round.is_multiple_of(4)
}

/// A client that appends its round's line and says so.
fn client(round: u64, address: &str, state: &Path) -> Child {
    let mut command = if is_python(round) {
        let program = "import sys; from pixelboy import PixelBoy\n\
             with PixelBoy(sys.argv[1], state=sys.argv[2], timeout=30) as pb:\n\
             \x20   pb.ss('log.txt', sys.argv[3] + '\\n')\n\
             \x20   print('on disk', flush=True)";
        let mut python = Command::new("python3");
        python
            .env("PYTHONPATH", root().join("clients/python"))
            .args(["-c", program, address])
            .arg(state)
            .arg(round.to_string());
        python
    } else {
        let mut line = Command::new(daemon::profile_folder().join("pixelboy"));
        line.args(["--host", address, "--state"]).arg(state).args([
            "ss",
            "log.txt",
            &format!("{round}\n"),
        ]);
        line
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.ancestors().nth(2).unwrap().to_owned()
}
