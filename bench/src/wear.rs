//! What is written to the disk for an append of 100 bytes, by one client: SD cards wear.
//! Invariant: all of it counts, what is moved and synced later too: the servers are stopped before the disk is asked.
//! The disk's own count is of all that anybody writes to it meanwhile: `--folder` on a disk that nobody else uses.

use std::fs::{self, File};
use std::path::Path;

use tempfile::TempDir;

use crate::Fault;
use crate::append::{TEXT, appender};
use crate::daemon::Kit;
use crate::link::{Link, Talk};
use crate::process::Process;
use crate::ratio::Spread;
use crate::redis::{Redis, Saying};
use crate::report::{Aim, Report, Row};
use crate::talk;

/// Appends of a round.
const APPENDS: usize = 2_000;

const ROUNDS: usize = 3;

/// Less than two pages.
const AIM_KIB: f64 = 8.0;

/// Measures, and adds the rows.
pub(crate) fn measure(kit: &Kit, report: &mut Report) -> Result<(), Fault> {
    let disk = Disk::of(kit.folder())?;
    let names = ["pixelboy", "SQLite, a transaction each", "Redis, always"];
    let mut taken: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); names.len()];
    for _ in 0..ROUNDS {
        let folder = TempDir::with_prefix_in("wear-", kit.folder())?;
        let mut all: Vec<Option<(f64, f64)>> = Vec::new();

        let device = kit.device(false)?;
        let daemon = device.start()?;
        let (mut link, mut client) = appender(daemon.address, "wear.txt")?;
        let before = disk.written()?;
        let by_process = append(&mut link, &mut client, daemon.process())?;
        drop(link);
        daemon.stop()?;
        all.push(Some((by_process, disk.written()?.since(before))));

        let rows = kit.bare_rows(folder.path(), false)?;
        let mut link = Link::connect(rows.address)?;
        let before = disk.written()?;
        let by_process = append(&mut link, &mut talk::Bare::new(&TEXT), rows.process())?;
        drop((link, rows));
        all.push(Some((by_process, disk.written()?.since(before))));

        let redis = Redis::start(kit.folder(), &[])?;
        if redis.is_none() {
            report.remark("Redis is left out: redis-server is not installed");
        }
        all.push(match redis {
            None => None,
            Some(redis) => {
                let mut link = Link::connect(redis.address)?;
                let before = disk.written()?;
                let mut saying = Saying::new(&[b"RPUSH", b"wear", &TEXT]);
                let by_process = append(&mut link, &mut saying, redis.process())?;
                drop((link, redis));
                Some((by_process, disk.written()?.since(before)))
            }
        });
        for ((by_process, by_disk), found) in taken.iter_mut().zip(all) {
            by_process.extend(found.map(|(own, _)| own));
            by_disk.extend(found.map(|(_, all)| all));
        }
    }
    for (name, (by_process, by_disk)) in names.into_iter().zip(taken) {
        let kib =
            |bytes: &[f64]| Spread::of(bytes.iter().map(|bytes| bytes / 1024.0 / APPENDS as f64));
        let disk = kib(&by_disk);
        let row = Row::new(
            format!("written by one append, {name}"),
            "KiB",
            kib(&by_process).median,
        );
        let row = if name == "pixelboy" {
            row.aim(Aim::Ours(AIM_KIB))
        } else {
            row
        };
        report.add(row.note(format!(
            "on the disk, with all that its server wrote until its end: {:.1} KiB at least, {:.1} at most",
            disk.least, disk.most
        )));
    }
    Ok(())
}

/// What the process gave the system to write meanwhile, in bytes.
fn append(link: &mut Link, talk: &mut dyn Talk, process: Process) -> Result<f64, Fault> {
    let before = process.written_bytes()?;
    for _ in 0..APPENDS {
        link.round(talk, 1, 1)?;
    }
    Ok(process.written_bytes()?.saturating_sub(before) as f64)
}

/// The block device below a folder, where there is one.
struct Disk {
    folder: File,
    stat: std::path::PathBuf,
}

/// Bytes; none where the disk is no block device.
#[derive(Clone, Copy)]
struct Written(Option<u64>);

impl Written {
    fn since(self, before: Self) -> f64 {
        let both = self.0.zip(before.0);
        both.map_or(f64::NAN, |(now, before)| now.saturating_sub(before) as f64)
    }
}

impl Disk {
    fn of(folder: &Path) -> Result<Self, Fault> {
        let device = rustix::fs::stat(folder)?.st_dev;
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        Ok(Self {
            folder: File::open(folder)?,
            stat: format!("/sys/dev/block/{major}:{minor}/stat").into(),
        })
    }

    /// All that was written to it, with what waited.
    fn written(&self) -> Result<Written, Fault> {
        rustix::fs::syncfs(&self.folder)?;
        let Ok(stat) = fs::read_to_string(&self.stat) else {
            return Ok(Written(None));
        };
        // The seventh field: sectors of 512 bytes.
        let sectors = stat.split_whitespace().nth(6);
        Ok(Written(
            sectors
                .and_then(|text| text.parse::<u64>().ok())
                .map(|sectors| sectors * 512),
        ))
    }
}
