//! Replies in sentences, for people.
//! Invariant: what was promised is said in the same words as the device promised it: *stored* only where it is on disk, *shown*
//! and *playing* where it is state. What is not known here is shown as it came.

use std::fmt::Write as _;

use pixelboy_client::{Reply, Value};

use crate::json::hex;
use crate::output::plain;

/// A reply, in a few lines.
pub(crate) fn of_reply(reply: &Reply) -> String {
    let map = reply
        .values
        .iter()
        .find(|value| value.as_map().is_some())
        .unwrap_or(&Value::Null);
    let known = match reply.op.as_str() {
        "ss" => stored_text(map),
        "si" | "sm" | "sg" => stored_file(map),
        "ri" | "rg" => shown(map),
        "rm" | "um" => text(map, "playing").map(|path| format!("playing {path}{}", place(map))),
        "pm" => text(map, "paused").map(|path| format!("paused {path}{}", place(map))),
        "stop" => text(map, "stopped").map(|path| format!("stopped {path}{}", place(map))),
        "sv" => map.get("volume").map(|volume| format!("volume {volume}")),
        "del" => text(map, "path").map(|path| format!("removed {path}")),
        "stat" => Some(of_values(&[dated(map)])),
        _ => None,
    };
    let mut said = known.unwrap_or_else(|| of_values(&reply.values));
    if let Some(position) = reply.stored {
        let _ = match said.contains('\n') || said.is_empty() {
            true => write!(
                said,
                "{}on disk at position {position}",
                if said.is_empty() { "" } else { "\n" }
            ),
            false => write!(said, ", on disk at position {position}"),
        };
    }
    if reply.recorded {
        said.push_str(" (done before)");
    }
    match said.is_empty() {
        true => "done".to_owned(),
        false => said,
    }
}

fn text(map: &Value, key: &str) -> Option<String> {
    map.get(key)?.as_text().map(plain)
}

fn int(map: &Value, key: &str) -> Option<u64> {
    map.get(key)?
        .as_int()
        .and_then(|int| u64::try_from(int).ok())
}

fn stored_file(map: &Value) -> Option<String> {
    let mut said = format!(
        "stored {} ({}",
        text(map, "path")?,
        bytes(int(map, "size")?)
    );
    if let (Some(width), Some(height)) = (int(map, "width"), int(map, "height")) {
        let _ = write!(said, ", {width} x {height}");
    }
    if let Some(frames) = int(map, "frames").filter(|frames| *frames > 1) {
        let _ = write!(said, ", {frames} frames");
    }
    if let Some(duration) = int(map, "duration_ms") {
        let _ = write!(said, ", {}", lasting(duration));
    }
    let _ = write!(said, ", sha256 {})", map.get("sha256").map(short_digest)?);
    Some(said)
}

fn stored_text(map: &Value) -> Option<String> {
    let (path, size, offset) = (text(map, "path")?, int(map, "size")?, int(map, "offset")?);
    let sha256 = map.get("sha256").map(short_digest)?;
    Some(match offset {
        0 => format!("stored {path} ({}, sha256 {sha256})", bytes(size)),
        offset => format!(
            "stored {} at the end of {path} (now {}, sha256 of what was added {sha256})",
            bytes(size.saturating_sub(offset)),
            bytes(size)
        ),
    })
}

fn shown(map: &Value) -> Option<String> {
    let path = text(map, "shown")?;
    Some(match map.get("fps").and_then(Value::as_float) {
        Some(fps) => format!("showing {path} at {fps} frames a second"),
        None => format!("showing {path}"),
    })
}

/// `, at 0:12 of 3:04`
fn place(map: &Value) -> String {
    match (int(map, "position_ms"), int(map, "duration_ms")) {
        (Some(position), Some(duration)) => {
            format!(", at {} of {}", minutes(position), minutes(duration))
        }
        (Some(position), None) => format!(", at {}", minutes(position)),
        (None, Some(duration)) => format!(" ({})", minutes(duration)),
        (None, None) => String::new(),
    }
}

/// A digest comes as bytes or in hex.
fn short_digest(value: &Value) -> String {
    let whole = match value {
        Value::Bytes(bytes) => hex(bytes),
        other => other.as_text().map(plain).unwrap_or_default(),
    };
    match whole.get(..12) {
        Some(start) if whole.len() > 16 => format!("{start}..."),
        _ => whole,
    }
}

/// `42 bytes`, `1.5 MB`
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    if count == 1 {
        return "1 byte".to_owned();
    }
    for (unit, name) in UNITS {
        if count >= unit * 10 {
            return format!("{:.1} {name}", count as f64 / unit as f64);
        }
    }
    format!("{count} bytes")
}

/// `0.8 s`, `3:04`
fn lasting(milliseconds: u64) -> String {
    match milliseconds {
        short @ 0..10_000 => format!("{:.1} s", short as f64 / 1_000.0),
        long => minutes(long),
    }
}

/// With a date in place of milliseconds since 1970.
fn dated(map: &Value) -> Value {
    let entries = map
        .as_map()
        .unwrap_or_default()
        .iter()
        .map(|(name, value)| match (name.as_str(), value.as_int()) {
            ("modified_ms", Some(milliseconds)) => {
                ("modified".to_owned(), date(milliseconds).into())
            }
            _ => (name.clone(), value.clone()),
        });
    Value::Map(entries.collect())
}

/// `2026-11-21 13:32:38 UTC`
fn date(milliseconds: i64) -> String {
    let seconds = milliseconds.div_euclid(1_000);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years begin in March here, so that the leap day is the last of its year.
    let since = days + 719_468;
    let era = since.div_euclid(146_097);
    let of_era = since.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// `3:04`
pub(crate) fn minutes(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    match seconds / 3_600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// Values that nothing is known about.
pub(crate) fn of_values(values: &[Value]) -> String {
    let shown: Vec<String> = values.iter().map(|value| block(value, 0)).collect();
    shown.join("\n").trim_end().to_owned()
}

fn block(value: &Value, indent: usize) -> String {
    let space = " ".repeat(indent);
    match value {
        Value::Map(entries) => {
            let widest = entries
                .iter()
                .map(|(name, _)| name.chars().count())
                .max()
                .unwrap_or(0);
            let lines: Vec<String> = entries
                .iter()
                .map(|(name, inner)| {
                    let name = plain(name);
                    match is_block(inner) {
                        true => format!("{space}{name}:\n{}", block(inner, indent + 2)),
                        false => format!("{space}{name:widest$}  {}", inline(inner)),
                    }
                })
                .collect();
            lines.join("\n")
        }
        Value::List(list) if list.iter().any(is_block) => {
            let lines: Vec<String> = list.iter().map(|inner| block(inner, indent)).collect();
            lines.join(&format!("\n{space}-\n"))
        }
        Value::List(list) => {
            let lines: Vec<String> = list
                .iter()
                .map(|inner| format!("{space}{}", inline(inner)))
                .collect();
            lines.join("\n")
        }
        other => format!("{space}{}", inline(other)),
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Map(entries) => !entries.is_empty(),
        Value::List(list) => !list.is_empty(),
        _ => false,
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Text(text) => plain(text),
        Value::Null | Value::Map(_) | Value::List(_) => "-".to_owned(),
        Value::Bytes(all) if all.len() == 32 => hex(all),
        Value::Bytes(all) => format!("({}; pixelboy get fetches files)", bytes(all.len() as u64)),
        Value::Blob(blob) => format!("({}; pixelboy get fetches files)", bytes(blob.length)),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use pixelboy_client::{Reply, Value};

    use super::{bytes, date, lasting, minutes, of_reply};

    fn reply(op: &str, stored: Option<u64>, entries: &[(&str, Value)]) -> Reply {
        let entries = entries
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect::<Vec<_>>();
        Reply {
            op: op.to_owned(),
            values: vec![entries.into()],
            stored,
            recorded: false,
        }
    }

    #[test]
    fn what_was_stored_is_said_with_its_place_on_disk() {
        let digest = Value::from("ab".repeat(32));
        let map = [
            ("path", "cat.png".into()),
            ("size", 42.into()),
            ("width", 8.into()),
            ("height", 4.into()),
            ("sha256", digest.clone()),
        ];
        assert_eq!(
            of_reply(&reply("si", Some(17), &map)),
            "stored cat.png (42 bytes, 8 x 4, sha256 abababababab...), on disk at position 17"
        );
        let map = [
            ("path", "n.txt".into()),
            ("size", 42.into()),
            ("offset", 40.into()),
            ("sha256", digest),
        ];
        assert_eq!(
            of_reply(&reply("ss", Some(18), &map)),
            "stored 2 bytes at the end of n.txt (now 42 bytes, sha256 of what was added abababababab...), on disk at position 18"
        );
    }

    #[test]
    fn state_is_not_called_stored() {
        let said = of_reply(&reply("ri", None, &[("shown", "cat.png".into())]));
        assert_eq!(said, "showing cat.png");
        let map = [
            ("paused", "a.mp3".into()),
            ("position_ms", 12_000.into()),
            ("duration_ms", 184_000.into()),
        ];
        assert_eq!(
            of_reply(&reply("pm", None, &map)),
            "paused a.mp3, at 0:12 of 3:04"
        );
    }

    #[test]
    fn what_is_not_known_is_shown_as_it_came() {
        let map = [
            ("red", 1.into()),
            ("inner", vec![("a".to_owned(), Value::Null)].into()),
            ("name", "x\u{1b}".into()),
        ];
        assert_eq!(
            of_reply(&reply("leds", None, &map)),
            "red    1\ninner:\n  a  -\nname   x\\u{1b}"
        );
        let nothing = Reply {
            op: "leds".to_owned(),
            values: vec![],
            stored: None,
            recorded: false,
        };
        assert_eq!(of_reply(&nothing), "done");
        assert_eq!(
            of_reply(&Reply {
                stored: Some(3),
                ..nothing
            }),
            "on disk at position 3"
        );
    }

    #[test]
    fn milliseconds_become_a_date() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(date(1_795_267_958_374), "2026-11-21 13:32:38 UTC");
        assert_eq!(date(-1), "1969-12-31 23:59:59 UTC");
    }

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!([lasting(800), lasting(10_000)], ["0.8 s", "0:10"]);
        assert_eq!(
            [bytes(1), bytes(9_999), bytes(12_340), bytes(1 << 30)],
            ["1 byte", "9999 bytes", "12.3 kB", "1073.7 MB"]
        );
        assert_eq!(
            [minutes(0), minutes(61_999), minutes(3_661_000)],
            ["0:00", "1:01", "1:01:01"]
        );
    }
}
