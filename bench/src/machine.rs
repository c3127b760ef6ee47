//! The machine that a report is of.

use std::fs;

use serde::Serialize;

/// What changes numbers from machine to machine.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    architecture: &'static str,
    /// That this program may use.
    cpus: Vec<usize>,
    kernel: String,
    memory_mib: u64,
    /// Of the last minute, when the run began: processes that wanted a CPU.
    load_at_start: String,
}

impl Machine {
    /// This one, now.
    pub(crate) fn look() -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let field = |text: &str, names: &[&str]| {
            let of_line = |line: &str| {
                let (name, value) = line.split_once(':')?;
                names
                    .contains(&name.trim())
                    .then(|| value.trim().to_owned())
            };
            text.lines().find_map(of_line)
        };
        // On ARM there is no model name; the device tree knows the board.
        let cpu = field(&read("/proc/cpuinfo"), &["model name", "Model"]).unwrap_or_else(|| {
            read("/proc/device-tree/model")
                .trim_matches('\0')
                .to_owned()
        });
        let memory_kib = field(&read("/proc/meminfo"), &["MemTotal"])
            .and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
        Self {
            cpu,
            architecture: std::env::consts::ARCH,
            cpus: crate::cpu::given().unwrap_or_default(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_mib: memory_kib.unwrap_or_default() / 1024,
            load_at_start: load(),
        }
    }

    /// One line.
    pub(crate) fn print(&self) {
        println!(
            "{} ({}), CPUs {:?}, Linux {}, {} MiB, load {}",
            self.cpu,
            self.architecture,
            self.cpus,
            self.kernel,
            self.memory_mib,
            self.load_at_start
        );
    }
}

/// The load of the last minute.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .next()
        .unwrap_or("unknown")
        .to_owned()
}
