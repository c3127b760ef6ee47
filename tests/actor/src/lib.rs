//! A guest for the end-to-end tests: does all that the contract has, as asked.

use std::time::Duration;

use pixelboy_plugin::display::Animation;
use pixelboy_plugin::prelude::*;
use pixelboy_plugin::store::Writer;
use pixelboy_plugin::{audio, client, display, kv, store, timer};

/// Does all that the contract has, as asked.
#[plugin]
impl Actor {
    /// Stores bytes without a look at them.
    #[op]
    fn keep(path: String, bytes: Data, kind: String) -> Result<()> {
        store::put(&path, &bytes, &kind, &[])
    }

    /// Shows a stored file's first frame.
    #[op]
    fn show(path: String) -> Result<()> {
        display::show(&path)
    }

    /// Shows a stored animation.
    #[op]
    fn animate(path: String, fps: Option<f64>, loops: Option<u32>) -> Result<()> {
        display::play(&path, fps, loops)
    }

    /// Fills a picture with one colour.
    #[op]
    fn draw(width: u32, height: u32, red: u8, green: u8, blue: u8) -> Result<()> {
        display::draw(width, height, &plain(width, height, [red, green, blue]))
    }

    /// Red, then blue, over and over.
    #[op]
    fn blink(width: u32, height: u32, hold_ms: u32) -> Result<()> {
        let mut frames = Animation::new(width, height, 0);
        frames.frame(&plain(width, height, [255, 0, 0]), hold_ms)?;
        frames.frame(&plain(width, height, [0, 0, 255]), hold_ms)?;
        display::animate(frames)
    }

    /// Adds a text to a file and shows another.
    #[op]
    fn note_and_show(path: String, text: Data, picture: String) -> Result<()> {
        store::append(&path, &text)?;
        display::show(&picture)
    }

    /// Adds a text to a file and plays another.
    #[op]
    fn note_and_play(path: String, text: Data, sound: String, thread: bool) -> Result<()> {
        store::append(&path, &text)?;
        audio::play(&sound, thread)
    }

    /// Computes for a while, then plays.
    #[op]
    fn slow_play(rounds: i64, sound: String, thread: bool) -> Result<()> {
        compute(rounds);
        audio::play(&sound, thread)
    }

    /// Computes for a while.
    #[op]
    fn slow(rounds: i64) -> Result<()> {
        compute(rounds);
        Ok(())
    }

    /// Adds a text to a file, computes for a while, and answers what was put off.
    #[op]
    fn slow_fulfil(tag: String, path: String, text: Data, rounds: i64) -> Result<()> {
        store::append(&path, &text)?;
        compute(rounds);
        complete(token(&tag)?, Ok("at last"))
    }

    /// Answers later; adds a text to a file before, where one is named.
    #[op]
    fn put_off(call: &Call, tag: String, path: Option<String>) -> Result<Reply> {
        if let Some(path) = path {
            let mut writer = Writer::new();
            writer.write(b"x")?;
            store::append(&path, &writer.finish()?)?;
        }
        kv::set(&format!("later/{tag}"), call.token().to_le_bytes())?;
        Ok(later(call.token()))
    }

    /// Answers later without writing: the token goes to the client, as text.
    #[op]
    fn put_off_unwritten(call: &Call) -> Result<Reply> {
        client::push(
            call.session(),
            "token",
            vec![call.token().to_string().into()],
        )?;
        Ok(later(call.token()))
    }

    /// Answers what was put off; then refuses where that is asked for.
    #[op]
    fn fulfil(tag: String, answer: Value, refuse: bool) -> Result<()> {
        complete(token(&tag)?, Ok(answer))?;
        match refuse {
            true => Err(Failure::failed("refused as asked")),
            false => Ok(()),
        }
    }

    /// Answers what was put off with a stored file.
    #[op]
    fn fulfil_with(tag: String, path: String) -> Result<()> {
        complete(token(&tag)?, Ok(store::open(&path)?.data()))
    }

    /// Says no to what was put off.
    #[op]
    fn turn_down(tag: String) -> Result<()> {
        complete::<()>(token(&tag)?, Err(Failure::not_found("not any more")))
    }

    /// Sends the client something, twice.
    #[op]
    fn push_twice(call: &Call, op: String, value: Value) -> Result<()> {
        client::push(call.session(), &op, vec![value])?;
        client::push(call.session(), &op, vec!["again".into()])
    }

    /// Sends the client so many bytes.
    #[op]
    fn push_large(call: &Call, bytes: u32) -> Result<()> {
        client::push(
            call.session(),
            "large",
            vec![vec![7u8; bytes as usize].into()],
        )
    }

    /// Sends the client a stored file, and calls it with that file.
    #[op]
    fn hand_over(call: &Call, op: String, path: String) -> Result<()> {
        let session = call.session();
        let file = || -> Result<Value> {
            let data = store::open(&path)?.data();
            Ok(map! { path: path.clone(), data }.into())
        };
        client::push(session, &op, vec![file()?])?;
        client::call(session, &op, vec![file()?], Duration::from_secs(60), "file")
    }

    /// Calls the client; what it answers is noted.
    #[op]
    fn ask(call: &Call, op: String, value: Value, timeout_ms: u32, tag: String) -> Result<()> {
        let timeout = Duration::from_millis(timeout_ms.into());
        client::call(call.session(), &op, vec![value], timeout, &tag)
    }

    /// Calls the client, and answers with its answer.
    #[op]
    fn relay(call: &Call, op: String, value: Value) -> Result<Reply> {
        let (session, token) = (call.session(), call.token());
        let tag = format!("relay {token}");
        client::call(session, &op, vec![value], Duration::from_secs(60), &tag)?;
        Ok(later(token))
    }

    #[answer]
    fn answered(tag: String, answer: Answer) -> Result<()> {
        if let Some(token) = tag.strip_prefix("relay ") {
            return complete(token.parse()?, answer.map(Value::from));
        }
        note(&match answer {
            Ok(values) => format!("answer tag={tag} {values:?}"),
            Err(failure) => format!("answer tag={tag} code={}", failure.code()),
        })
    }

    /// Sets a timer; then refuses where that is asked for.
    #[op]
    fn set_timer(
        id: String,
        after_ms: u32,
        payload: String,
        durable: bool,
        #[default(false)] refuse: bool,
    ) -> Result<()> {
        let after = Duration::from_millis(after_ms.into());
        match durable {
            true => timer::set_durable(&id, after, payload)?,
            false => timer::set(&id, after, payload)?,
        }
        match refuse {
            true => Err(Failure::failed("refused as asked")),
            false => Ok(()),
        }
    }

    /// Forgets a timer.
    #[op]
    fn cancel_timer(id: String) -> Result<()> {
        timer::cancel(&id)
    }

    /// Notes it. What the payload says: `down N` counts down by setting it again, `refuse` refuses, `trap` crashes until
    /// there is a file `fixed.txt`.
    #[timer]
    #[expect(clippy::panic, reason = "as asked")]
    fn fired(id: String, payload: Vec<u8>) -> Result<()> {
        let payload = String::from_utf8(payload)?;
        note(&format!("fired {id} {payload}"))?;
        if let Some(left) = payload.strip_prefix("down ") {
            let left: u32 = left.parse()?;
            if left > 0 {
                let next = format!("down {}", left - 1);
                timer::set_durable(&id, Duration::from_millis(50), next)?;
            }
        }
        match payload.as_str() {
            "refuse" => Err(Failure::failed("refused as asked")),
            "trap" if store::find("fixed.txt")?.is_none() => panic!("crashed as asked"),
            _ => Ok(()),
        }
    }

    #[event("started")]
    fn started(details: Map) -> Result<()> {
        note(&format!("started {}", told(&details)))
    }

    #[event("client-joined")]
    fn client_joined(details: Map) -> Result<()> {
        note(&format!("client-joined {}", told(&details)))
    }

    #[event("client-left")]
    fn client_left(details: Map) -> Result<()> {
        note(&format!("client-left {}", told(&details)))
    }

    #[event("display-lost")]
    fn display_lost(details: Map) -> Result<()> {
        note(&format!("display-lost {}", told(&details)))
    }

    #[event("display-resized")]
    fn display_resized(details: Map) -> Result<()> {
        note(&format!("display-resized {}", told(&details)))
    }

    #[event("screen-lost")]
    fn screen_lost(details: Map) -> Result<()> {
        note(&format!("screen-lost {}", told(&details)))
    }

    #[event("playback-ended")]
    fn playback_ended(details: Map) -> Result<()> {
        note(&format!("playback-ended {}", told(&details)))
    }
}

fn compute(rounds: i64) {
    std::hint::black_box((0..rounds).fold(1, |number: i64, round| {
        std::hint::black_box(number.wrapping_mul(3) ^ round)
    }));
}

/// Under which an answer was put off.
fn token(tag: &str) -> Result<u64> {
    if let Ok(token) = tag.parse() {
        return Ok(token);
    }
    let kept = kv::get(&format!("later/{tag}"))?.unwrap_or_default();
    Ok(kept.as_slice().try_into().map(u64::from_le_bytes)?)
}

/// Adds a line to what happened.
fn note(line: &str) -> Result<()> {
    let mut writer = Writer::new();
    writer.write(format!("{line}\n").as_bytes())?;
    store::append("happened.txt", &writer.finish()?)?;
    Ok(())
}

/// `name=value name=value`
fn told(details: &Map) -> String {
    let parts = details.iter().map(|(name, value)| match value {
        Value::Text(text) => format!("{name}={text}"),
        other => format!("{name}={other:?}"),
    });
    parts.collect::<Vec<_>>().join(" ")
}

fn plain(width: u32, height: u32, [red, green, blue]: [u8; 3]) -> Vec<u8> {
    [red, green, blue, 255].repeat(width as usize * height as usize)
}
