//! What `status` tells.

use std::time::Instant;

use pixelboy_protocol::Value;

use super::Dispatch;
use super::session::Session;
use crate::plugin::health::Out;
use crate::plugin::version::Version;

/// The device as it is now, as a map that grows by keys.
pub(crate) fn of(dispatch: &Dispatch, session: Option<&Session>) -> Value {
    let services = &dispatch.services;
    let state = services.device.state();
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

fn plugins(dispatch: &Dispatch) -> Value {
    let table = dispatch.board.now();
    let mut plugins: Vec<(String, Value)> = Vec::new();
    for serving in table.plugins() {
        let (calls, failures) = serving.seat.counts();
        let about = map([
            ("about", serving.version.manifest.about.clone().into()),
            ("version", serving.version.manifest.version.clone().into()),
            ("calls", Value::Int(calls as i64)),
            ("failures", Value::Int(failures as i64)),
            ("state", state(&serving.version).into()),
        ]);
        plugins.push((serving.seat.name.to_string(), about));
    }
    plugins.sort_by(|a, b| a.0.cmp(&b.0));
    Value::Map(plugins)
}

/// Whether calls are let through.
fn state(version: &Version) -> &'static str {
    match version.health.out(Instant::now()) {
        None => "running",
        Some(Out::Rests(_)) => "resting",
        Some(Out::Quarantined) => "quarantined",
    }
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
