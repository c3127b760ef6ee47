//! `status`: what the device shows and plays, how loud, and what it runs.

use std::fmt::Write as _;

use clap::Args;
use pixelboy_client::Value;

use super::{say, with_client};
use crate::line::Settings;
use crate::output::{self, plain};
use crate::said::{self, minutes};
use crate::trouble::Trouble;

/// Tell what is shown and played, the volume, plugins and versions
#[derive(Args, Debug)]
pub(crate) struct Status {}

impl Status {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        let reply = with_client(settings, async |client| {
            Ok(client.call("status", [], [], None).await?)
        })
        .await?;
        match settings.json {
            true => say(settings, &reply),
            false => Ok(output::line(&sentences(reply.value()))?),
        }
    }
}

fn sentences(status: &Value) -> String {
    let mut text = format!("showing  {}\nplaying  {}", shown(status), playing(status));
    let known = [
        "shown",
        "playing",
        "volume",
        "display",
        "host",
        "protocol",
        "uptime_s",
        "plugins",
        "settings_fault",
    ];
    if let Some(volume) = status.get("volume") {
        let _ = write!(text, "\nvolume   {volume}");
    }
    if let Some(display) = status.get("display") {
        let part = |key| display.get(key).map(said_inline).unwrap_or_default();
        let _ = write!(
            text,
            "\ndisplay  {}, {} x {}",
            part("backend"),
            part("width"),
            part("height")
        );
    }
    if let Some(host) = status.get("host") {
        let _ = write!(text, "\nhost     {}", said_inline(host));
        if let Some(uptime) = status.get("uptime_s").and_then(Value::as_int) {
            let _ = write!(text, ", up {}", long(uptime.unsigned_abs()));
        }
    }
    for (index, (name, about)) in status
        .get("plugins")
        .and_then(Value::as_map)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let part = |key| about.get(key).map(said_inline).unwrap_or_default();
        let label = if index == 0 { "plugins" } else { "" };
        let state = part("state");
        if about.get("calls").is_none() {
            let _ = write!(text, "\n{label:7}  {} {state}", plain(name));
            continue;
        }
        let _ = write!(
            text,
            "\n{label:7}  {} {}, {} calls, {} failures",
            plain(name),
            part("version"),
            part("calls"),
            part("failures")
        );
        if !matches!(state.as_str(), "" | "running") {
            let _ = write!(text, ", {state}");
        }
    }
    // What a later host tells is shown as it came; what is of this line's own session is of no use.
    let own = ["receive_timeout_s", "pass_time_out", "sessions"];
    let rest: Vec<(String, Value)> = status
        .as_map()
        .unwrap_or_default()
        .iter()
        .filter(|(name, _)| !known.contains(&name.as_str()) && !own.contains(&name.as_str()))
        .cloned()
        .collect();
    if !rest.is_empty() {
        let _ = write!(text, "\n{}", said::of_values(&[rest.into()]));
    }
    text
}

fn shown(status: &Value) -> String {
    let Some(shown) = status.get("shown").filter(|shown| shown.as_map().is_some()) else {
        return "nothing".to_owned();
    };
    match (
        shown.get("path").and_then(Value::as_text),
        shown.get("kind").map(said_inline),
    ) {
        (Some(path), _) => plain(path),
        (None, Some(kind)) => kind,
        (None, None) => "something".to_owned(),
    }
}

fn playing(status: &Value) -> String {
    let Some(playing) = status
        .get("playing")
        .filter(|playing| playing.as_map().is_some())
    else {
        return "nothing".to_owned();
    };
    let time = |key| {
        playing
            .get(key)
            .and_then(Value::as_int)
            .map(|time| minutes(time.unsigned_abs()))
    };
    let mut text = playing.get("path").map(said_inline).unwrap_or_default();
    match (time("position_ms"), time("duration_ms")) {
        (Some(position), Some(duration)) => drop(write!(text, ", {position} of {duration}")),
        (Some(position), None) => drop(write!(text, ", {position}")),
        _ => {}
    }
    if playing.get("paused").and_then(Value::as_bool) == Some(true) {
        text.push_str(", paused");
    }
    text
}

fn said_inline(value: &Value) -> String {
    match value {
        Value::Text(text) => plain(text),
        other => other.to_string(),
    }
}

fn long(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}
