//! What a device costs that does nothing: CPU time, wake-ups, memory.

use std::time::Duration;

use pixelboy_protocol::Value;

use crate::daemon::Kit;
use crate::link::Link;
use crate::process::{Process, Work};
use crate::report::{Aim, Report, Row};
use crate::{Fault, talk};

/// Less than the smallest time that utime and stime can show: a tick.
const AIM_MS: f64 = 10.0;

/// Resident memory with the three plugins, in MiB.
const AIM_MIB: f64 = 20.0;

/// The speaker is let go after 30 s without sound; then the device is idle.
const SETTLE: Duration = Duration::from_secs(33);

/// Measures, and adds the rows.
pub(crate) fn measure(kit: &Kit, seconds: u64, report: &mut Report) -> Result<(), Fault> {
    let (alone, visited) = (kit.device(false)?, kit.device(false)?);
    // The first start compiles; what that leaves behind is not of an idle device.
    alone.start()?.stop()?;
    visited.start()?.stop()?;
    let (alone, visited, bare) = (alone.start()?, visited.start()?, kit.bare_echo()?);
    for daemon in [&alone, &visited] {
        let mut link = Link::connect(daemon.address)?;
        let mut client = talk::Client::join(&mut link)?;
        client.once(&mut link, "ls", &[Value::Text(String::new())])?;
        client.once(&mut link, "cc", &[])?;
    }
    let mut link = Link::connect(visited.address)?;
    talk::Client::join(&mut link)?;
    let mut bare_link = Link::connect(bare.address)?;
    bare_link.round(&mut talk::Bare::new(&[0; 64]), 1, 1)?;
    std::thread::sleep(SETTLE);

    let processes = [alone.process(), visited.process(), bare.process()];
    let work = |process: &Process| process.work();
    let before = processes.iter().map(work).collect::<Result<Vec<_>, _>>()?;
    std::thread::sleep(Duration::from_secs(seconds));
    let after = processes.iter().map(work).collect::<Result<Vec<_>, _>>()?;
    let mut done: Vec<_> = after
        .iter()
        .zip(before)
        .map(|(after, before)| after.since(before))
        .collect();
    let floor = done.pop().unwrap_or_default();
    for (who, work) in ["nobody", "one client"].into_iter().zip(done) {
        let milliseconds = |work: Work| work.cpu_ns as f64 / 1e6;
        let row = Row::new(
            format!("idle {seconds} s, {who} connected, CPU time"),
            "ms",
            milliseconds(work),
        );
        report.add(
            row.floor(milliseconds(floor))
                .aim(Aim::Ours(AIM_MS))
                .note(format!(
                    "utime + stime {} ticks; {} voluntary context switches, floor {}",
                    work.ticks, work.voluntary_switches, floor.voluntary_switches
                )),
        );
    }

    let (ours, floor) = (alone.process().memory()?, bare.process().memory()?);
    let mib = |kib: u64| kib as f64 / 1024.0;
    report.add(
        Row::new("resident memory, three plugins", "MiB", mib(ours.all))
            .floor(mib(floor.all))
            .aim(Aim::Ours(AIM_MIB))
            .note(format!(
                "RssAnon {:.1}, RssFile {:.1}",
                mib(ours.anonymous),
                mib(ours.file)
            )),
    );
    drop((link, bare_link));
    alone.stop()?;
    visited.stop()
}
