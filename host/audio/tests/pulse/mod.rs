//! Hears what a process plays: a PulseAudio daemon of one's own with a silent sink, a recorder of that sink, and a
//! [`Recording`] to measure in. Only the standard library, so that other crates can include this file by path.
//! Invariant: nothing of the machine's own sound setup is used or changed; everything lives in one temporary folder.
//! A process plays into it when started with [`PulseAudio::environment`]: its ALSA `default` is the silent sink.
//! Where PulseAudio is not installed, `start` fails with a sentence that names the packages.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test aid, of which each test uses a part"
)]

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// What the set-up step has to install for these tests.
pub const PACKAGES: &str = "pulseaudio pulseaudio-utils libasound2-plugins";

const SINK: &str = "pb";
const RATE: u32 = 44_100;
/// The sink begins to run and the recorder to hear within this time.
const PATIENCE: Duration = Duration::from_secs(15);

/// A private PulseAudio daemon; dropping it ends it and removes its folder.
pub struct PulseAudio {
    daemon: Child,
    folder: PathBuf,
}

impl PulseAudio {
    /// Starts a daemon with one silent sink.
    ///
    /// # Errors
    /// A sentence for a person: what is not installed, or what the daemon printed.
    pub fn start() -> Result<Self, String> {
        for tool in ["pulseaudio", "parec"] {
            installed(tool)?;
        }
        if !alsa_plugin_is_there() {
            return Err(missing("ALSA's pulse plugin"));
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "pixelboy-pulse-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder)
            .map_err(|error| format!("no folder {}: {error}", folder.display()))?;
        let daemon = daemon(&folder)?;
        let pulse = Self { daemon, folder };
        pulse
            .write_alsa_config()
            .map_err(|error| error.to_string())?;
        Ok(pulse)
    }

    /// Ends the daemon, if it runs, and starts another at the same place.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn restart(&mut self) -> Result<(), String> {
        self.kill();
        self.daemon = daemon(&self.folder)?;
        Ok(())
    }

    /// What a process needs in its environment to play into the silent sink.
    #[must_use]
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        [
            (
                "ALSA_CONFIG_PATH",
                self.folder.join("asound.conf").into_os_string(),
            ),
            ("PULSE_SERVER", self.server().into()),
            ("PULSE_RUNTIME_PATH", self.folder.clone().into_os_string()),
        ]
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect()
    }

    /// Begins to record what the sink plays. Returns when the recorder hears.
    ///
    /// # Errors
    /// A sentence for a person, when the recorder gives nothing.
    pub fn record(&self) -> Result<Recorder, String> {
        let mut command = Command::new("parec");
        private(&mut command, &self.folder);
        let mut parec = command
            .args([
                "--server",
                &self.server(),
                "--device",
                &format!("{SINK}.monitor"),
            ])
            .args([
                "--format=s16le",
                "--channels=1",
                "--latency-msec=10",
                "--raw",
            ])
            .arg(format!("--rate={RATE}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("parec does not start: {error}"))?;
        let mut sound = parec.stdout.take().ok_or("parec has no output")?;
        let mut first = [0; 2];
        sound
            .read_exact(&mut first)
            .map_err(|error| format!("parec hears nothing: {error}"))?;
        let reader = std::thread::spawn(move || read_to_end(sound));
        Ok(Recorder { parec, reader })
    }

    /// Ends the daemon at once, as if the device were pulled out.
    pub fn kill(&mut self) {
        // It may be gone already.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }

    fn server(&self) -> String {
        format!("unix:{}", self.folder.join("native").display())
    }

    fn write_alsa_config(&self) -> io::Result<()> {
        let server = self.server();
        fs::write(
            self.folder.join("asound.conf"),
            format!(
                "pcm.!default {{ type pulse server \"{server}\" device {SINK} }}\n\
                 ctl.!default {{ type pulse server \"{server}\" device {SINK} }}\n"
            ),
        )
    }
}

impl Drop for PulseAudio {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A running recording.
pub struct Recorder {
    parec: Child,
    reader: JoinHandle<(Vec<u8>, Option<SystemTime>)>,
}

impl Recorder {
    /// Ends the recording.
    #[must_use]
    pub fn stop(mut self) -> Recording {
        let _ = self.parec.kill();
        let _ = self.parec.wait();
        let (bytes, begun) = self.reader.join().unwrap_or_default();
        let samples = bytes
            .chunks_exact(2)
            .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
            .collect();
        Recording {
            rate: RATE,
            samples,
            begun,
        }
    }
}

/// Reads all; the time of the first sample is the earliest that any arrival allows, as pipes only delay.
fn read_to_end(mut sound: ChildStdout) -> (Vec<u8>, Option<SystemTime>) {
    let mut bytes = Vec::new();
    let mut begun: Option<SystemTime> = None;
    let mut part = [0; 8_192];
    while let Ok(count @ 1..) = sound.read(&mut part) {
        bytes.extend_from_slice(&part[..count]);
        let length = Duration::from_secs_f64(bytes.len() as f64 / 2.0 / f64::from(RATE));
        let start = SystemTime::now() - length;
        begun = Some(begun.map_or(start, |earliest| earliest.min(start)));
    }
    (bytes, begun)
}

/// Sound to measure in: one channel.
pub struct Recording {
    /// Samples per second.
    pub rate: u32,
    /// From -1.0 to 1.0.
    pub samples: Vec<f32>,
    /// When the first sample was heard, as far as known.
    pub begun: Option<SystemTime>,
}

/// A stretch of sound, in seconds from the recording's begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    pub from_s: f64,
    pub to_s: f64,
    /// Root mean square of its inside; a full-scale sine has 0.707.
    pub level: f64,
}

impl Span {
    /// Its length in seconds.
    #[must_use]
    pub fn length_s(&self) -> f64 {
        self.to_s - self.from_s
    }
}

/// A window of the envelope: short enough for the tolerances, long enough for a wave of 200 Hz.
const WINDOW_S: f64 = 0.005;

impl Recording {
    /// Reads a PCM WAV file with 16 bits strictly: any size in its header that does not fit the file is an error.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read_wav(path: &Path) -> Result<Self, String> {
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let u16_at = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
        if bytes.len() < 44 || &bytes[..4] != b"RIFF" || &bytes[8..16] != b"WAVEfmt " {
            return Err("no WAV header".to_owned());
        }
        let (riff, data) = (u32_at(4) as usize, u32_at(40) as usize);
        if &bytes[36..40] != b"data" || u32_at(16) != 16 || u16_at(20) != 1 || u16_at(34) != 16 {
            return Err("not plain 16 bit PCM".to_owned());
        }
        if riff + 8 != data + 44 || data + 44 > bytes.len() {
            return Err(format!(
                "its header speaks of {riff} and {data} bytes, it has {}",
                bytes.len()
            ));
        }
        let channels = usize::from(u16_at(22));
        if data % (channels * 2) != 0 {
            return Err("it ends within a frame".to_owned());
        }
        let samples = bytes[44..44 + data]
            .chunks_exact(channels * 2)
            .map(|frame| f32::from(i16::from_le_bytes([frame[0], frame[1]])) / 32_768.0)
            .collect();
        Ok(Self {
            rate: u32_at(24),
            samples,
            begun: None,
        })
    }

    /// Its length in seconds.
    #[must_use]
    pub fn length_s(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }

    /// Root mean square between two times, in seconds.
    #[must_use]
    pub fn level(&self, from_s: f64, to_s: f64) -> f64 {
        let at =
            |time: f64| ((time * f64::from(self.rate)).max(0.0) as usize).min(self.samples.len());
        rms(&self.samples[at(from_s)..at(to_s).max(at(from_s))])
    }

    /// The stretches louder than `threshold`, where gaps shorter than `gap_s` do not count.
    #[must_use]
    pub fn loud_spans(&self, threshold: f64, gap_s: f64) -> Vec<Span> {
        let window = (WINDOW_S * f64::from(self.rate)) as usize;
        let mut spans: Vec<Span> = Vec::new();
        for (index, part) in self.samples.chunks(window).enumerate() {
            if rms(part) <= threshold {
                continue;
            }
            let from_s = (index * window) as f64 / f64::from(self.rate);
            let to_s = from_s + part.len() as f64 / f64::from(self.rate);
            match spans.last_mut() {
                Some(last) if from_s - last.to_s < gap_s => last.to_s = to_s,
                _ => spans.push(Span {
                    from_s,
                    to_s,
                    level: 0.0,
                }),
            }
        }
        for span in &mut spans {
            let margin = (span.length_s() / 4.0).min(0.05);
            span.level = self.level(span.from_s + margin, span.to_s - margin);
        }
        spans
    }

    /// Frequency between two times in Hz, by its rising zero crossings.
    #[must_use]
    pub fn frequency(&self, from_s: f64, to_s: f64) -> f64 {
        let at = |time: f64| ((time * f64::from(self.rate)) as usize).min(self.samples.len());
        let part = &self.samples[at(from_s)..at(to_s)];
        let crossings: Vec<usize> = (1..part.len())
            .filter(|n| part[n - 1] < 0.0 && part[*n] >= 0.0)
            .collect();
        match (crossings.first(), crossings.last()) {
            (Some(first), Some(last)) if last > first => {
                (crossings.len() - 1) as f64 * f64::from(self.rate) / (last - first) as f64
            }
            _ => 0.0,
        }
    }
}

fn rms(samples: &[f32]) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let sum: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    (sum / samples.len() as f64).sqrt()
}

/// Starts a daemon with the silent sink and returns when it takes connections.
fn daemon(folder: &Path) -> Result<Child, String> {
    let socket = folder.join("native");
    // A killed daemon leaves its socket behind.
    let _ = fs::remove_file(&socket);
    let log = fs::File::create(folder.join("log")).map_err(|error| error.to_string())?;
    let mut command = Command::new("pulseaudio");
    private(&mut command, folder);
    let mut daemon = command
        .args([
            "-n",
            "--daemonize=no",
            "--system=false",
            "--exit-idle-time=-1",
        ])
        .args([
            "--use-pid-file=no",
            "--disable-shm=yes",
            "--realtime=no",
            "--high-priority=no",
        ])
        .args([
            "-L",
            &format!("module-null-sink sink_name={SINK} rate={RATE} channels=2"),
        ])
        .arg("-L")
        .arg(format!(
            "module-native-protocol-unix auth-anonymous=1 auth-cookie-enabled=0 socket={}",
            socket.display()
        ))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|error| format!("pulseaudio does not start: {error}"))?;
    let begun = Instant::now();
    while UnixStream::connect(&socket).is_err() {
        let ended = matches!(daemon.try_wait(), Ok(Some(_)) | Err(_));
        if ended || begun.elapsed() > PATIENCE {
            let _ = daemon.kill();
            let _ = daemon.wait();
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            let _ = fs::remove_dir_all(folder);
            return Err(format!(
                "the PulseAudio daemon did not get ready; it said:\n{log}"
            ));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(daemon)
}

fn private(command: &mut Command, folder: &Path) {
    for name in [
        "HOME",
        "XDG_RUNTIME_DIR",
        "XDG_CONFIG_HOME",
        "PULSE_RUNTIME_PATH",
        "PULSE_STATE_PATH",
    ] {
        command.env(name, folder);
    }
    for name in ["PULSE_SERVER", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY"] {
        command.env_remove(name);
    }
}

fn installed(tool: &str) -> Result<(), String> {
    match Command::new(tool).arg("--version").output() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing(tool)),
        Err(error) => Err(format!("{tool} cannot be run: {error}")),
    }
}

fn alsa_plugin_is_there() -> bool {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    std::iter::once(PathBuf::from("/usr/lib"))
        .chain(std::iter::once(PathBuf::from("/usr/lib64")))
        .chain(folders.map(|entry| entry.path()))
        .any(|folder| {
            folder
                .join("alsa-lib/libasound_module_pcm_pulse.so")
                .exists()
        })
}

fn missing(what: &str) -> String {
    format!(
        "{what} is not installed, and without it nothing can be heard here; install it with: apt-get install {PACKAGES}"
    )
}
