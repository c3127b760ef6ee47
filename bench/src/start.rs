//! From the start of the process to the first answer of a plugin.

use std::time::Duration;

use pixelboy_protocol::Value;

use crate::daemon::{Device, Kit};
use crate::link::Link;
use crate::ratio::Spread;
use crate::report::{Aim, Report, Row};
use crate::{Fault, talk};

/// What a start with plugins that were compiled before may take, in ms.
const AIM_MS: f64 = 100.0;

/// Starts with compiled plugins, and without.
const CACHED: usize = 11;
const COLD: usize = 3;

/// Measures, and adds the rows.
pub(crate) fn measure(kit: &Kit, report: &mut Report) -> Result<(), Fault> {
    let device = kit.device(false)?;
    // Makes the data folder.
    first_answer(&device)?;
    let mut cold = Vec::new();
    for _ in 0..COLD {
        device.forget_code()?;
        cold.push(first_answer(&device)?);
    }
    let (mut cached, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..CACHED {
        cached.push(first_answer(&device)?);
        bare.push(first_bare_answer(kit)?);
    }
    let bare = Spread::of(bare.iter().map(milliseconds)).median;
    for (what, starts) in [("cached", cached), ("cold, compiled anew", cold)] {
        let all = Spread::of(starts.iter().map(|(_, answered)| milliseconds(answered)));
        let ready = Spread::of(starts.iter().map(|(ready, _)| milliseconds(ready)));
        let row = Row::new(
            format!("start to first answer, plugins {what}"),
            "ms",
            all.median,
        )
        .floor(bare)
        .note(format!(
            "{:.1} to {:.1}; ready after {:.1}",
            all.least, all.most, ready.median
        ));
        report.add(if what == "cached" {
            row.aim(Aim::Ours(AIM_MS))
        } else {
            row
        });
    }
    Ok(())
}

fn milliseconds(time: &Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// When clients could connect, and when the first `ls` was answered.
fn first_answer(device: &Device<'_>) -> Result<(Duration, Duration), Fault> {
    let daemon = device.start()?;
    let mut link = Link::connect(daemon.address)?;
    let mut client = talk::Client::join(&mut link)?;
    client.once(&mut link, "ls", &[Value::Text(String::new())])?;
    let answered = daemon.began.elapsed();
    let ready = daemon.ready_after;
    drop(link);
    daemon.stop()?;
    Ok((ready, answered))
}

/// The same of a process that only echoes.
fn first_bare_answer(kit: &Kit) -> Result<Duration, Fault> {
    let bare = kit.bare_echo()?;
    let mut link = Link::connect(bare.address)?;
    link.round(&mut talk::Bare::new(&[0; 64]), 1, 1)?;
    Ok(bare.began.elapsed())
}
