//! What `status` tells.

use std::time::Instant;

use pixelboy_protocol::Value;

use super::Dispatch;
use super::board::Serving;
use super::session::Session;
use crate::capability::device::State;
use crate::plugin::health::Out;
use crate::plugin::unserved::Refused;
use crate::plugin::version::Version;

/// A compiler can say much about a file.
const MOST_REASON_CHARS: usize = 1000;

/// The device as it is now, as a map that grows by keys.
pub(crate) fn of(dispatch: &Dispatch, state: State, session: Option<&Session>) -> Value {
    let services = &dispatch.services;
    let (width, height) = services.display.size();
    let shown = state.shown.map_or(Value::Null, |shown| {
        map([("kind", shown.kind.into()), ("path", optional(shown.path))])
    });
    let music = state.music.map_or(Value::Null, |music| {
        let playing = services
            .audio
            .now()
            .filter(|playing| playing.token == music.token);
        let position = playing
            .as_ref()
            .map_or(music.position, |playing| playing.position);
        let duration = playing
            .and_then(|playing| playing.duration)
            .map(|duration| duration.as_millis() as i64);
        let mut playing = vec![
            ("path", music.path.into()),
            ("paused", Value::Bool(music.paused)),
            ("position_ms", Value::Int(position.as_millis() as i64)),
            ("duration_ms", optional(duration)),
            ("thread", Value::Bool(music.outlives)),
        ];
        playing.extend(music.waiting.map(|why| ("waiting", why.into())));
        map(playing)
    });
    let mut status = vec![
        ("shown", shown),
        ("playing", music),
        ("volume", Value::Float(state.volume)),
        (
            "display",
            map([
                ("backend", services.display.backend_name().to_owned().into()),
                ("width", Value::Int(width.into())),
                ("height", Value::Int(height.into())),
            ]),
        ),
        (
            "host",
            concat!("pixelboyd ", env!("CARGO_PKG_VERSION"))
                .to_owned()
                .into(),
        ),
        (
            "protocol",
            Value::Int(pixelboy_protocol::frame::VERSION.into()),
        ),
        (
            "uptime_s",
            Value::Int(dispatch.started.elapsed().as_secs() as i64),
        ),
        (
            "sessions",
            Value::Int(services.audience.sessions().len() as i64),
        ),
        ("plugins", plugins(dispatch)),
        (
            "settings_fault",
            optional(dispatch.unserved.settings_fault()),
        ),
    ];
    if let Some(session) = session {
        status.push((
            "receive_timeout_s",
            Value::Float(session.receive_timeout.as_secs_f64()),
        ));
        status.push(("pass_time_out", Value::Bool(session.pass_time_out)));
    }
    map(status)
}

/// By name: those that serve, and files that do not.
fn plugins(dispatch: &Dispatch) -> Value {
    let table = dispatch.board.now();
    let unserved = dispatch.unserved.now();
    let newer = |name: &str| unserved.refused.iter().find(|refused| refused.name == name);
    let serving = table
        .plugins()
        .map(|serving| {
            let name = serving.seat.name.to_string();
            let about = served(serving, newer(&name));
            (name, about)
        })
        .collect::<Vec<_>>();
    let serves = |name: &str| table.plugin(name).is_some();
    let refused = unserved.refused.iter().filter(|one| !serves(&one.name));
    let refused = refused.map(|one| (one.name.clone(), map(of_refused(one, "refused"))));
    let lying = unserved.not_enabled.iter().filter(|one| !serves(&one.name));
    let lying = lying.map(|one| {
        let about = [
            ("state", "not enabled".into()),
            ("file", one.file.display().to_string().into()),
        ];
        (one.name.clone(), map(about))
    });
    let mut plugins: Vec<(String, Value)> =
        serving.into_iter().chain(refused).chain(lying).collect();
    plugins.sort_by(|a, b| a.0.cmp(&b.0));
    plugins.dedup_by(|a, b| a.0 == b.0);
    Value::Map(plugins)
}

/// A plugin that serves; `newer` is what was to replace it and is not taken in.
fn served(serving: &Serving, newer: Option<&Refused>) -> Value {
    let (seat, version) = (&serving.seat, &serving.version);
    let counts = seat.counts();
    let (state, reason) = state(version);
    let ops = version.manifest.rows.iter().map(|row| &row.op);
    let newer = newer.map(|newer| {
        let state = match newer.why.wants_grant {
            true => "pending",
            false => "refused",
        };
        map(of_refused(newer, state))
    });
    let number = |number: u64| Value::Int(number as i64);
    map([
        ("state", state.into()),
        ("reason", optional(reason)),
        ("file", version.settings.file.display().to_string().into()),
        ("sha256", version.digest.to_string().into()),
        ("version", version.manifest.version.clone().into()),
        ("about", version.manifest.about.clone().into()),
        ("ops", texts(ops)),
        ("allow", texts(&version.settings.allow)),
        (
            "memory_bytes",
            number(counts.memory_bytes.max(version.spare_bytes())),
        ),
        ("calls", number(counts.calls)),
        ("failures", number(counts.failures)),
        ("p50_us", optional(counts.p50_us.map(number))),
        ("p99_us", optional(counts.p99_us.map(number))),
        ("newer", optional(newer)),
    ])
}

/// A file that did not become a version.
fn of_refused(refused: &Refused, state: &str) -> [(&'static str, Value); 5] {
    let digest = refused.digest.map(|digest| digest.to_string());
    let reason: String = refused.why.text.chars().take(MOST_REASON_CHARS).collect();
    [
        ("state", state.into()),
        ("reason", reason.into()),
        ("file", refused.file.display().to_string().into()),
        ("sha256", optional(digest)),
        ("allow", texts(&refused.allow)),
    ]
}

/// Whether calls are let through, and why not.
fn state(version: &Version) -> (&'static str, Option<String>) {
    let crashed = |then: &str| {
        let crashes = version.health.crashes();
        Some(format!("it crashed {crashes} times in a row; {then}"))
    };
    match version.health.out(Instant::now()) {
        None => ("running", None),
        Some(Out::Rests(left)) => {
            let left = format!("it serves again in {:.1} s", left.as_secs_f64());
            ("resting", crashed(&left))
        }
        Some(Out::Quarantined) => (
            "quarantined",
            crashed("it serves again when its file or its table in config.toml changes"),
        ),
    }
}

fn texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> Value {
    Value::List(texts.into_iter().map(|text| text.clone().into()).collect())
}

fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Map(
        entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

fn optional(value: Option<impl Into<Value>>) -> Value {
    value.map_or(Value::Null, Into::into)
}
