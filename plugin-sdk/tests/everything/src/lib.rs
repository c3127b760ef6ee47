//! A guest for the SDK's own tests: one of each thing it offers.

use std::time::Duration;

use pixelboy_plugin::prelude::*;
use pixelboy_plugin::store::Writer;
use pixelboy_plugin::{client, display, kv, log, settings, store, timer};

/// One of each.
#[plugin]
impl Everything {
    /// Takes one of each type.
    ///
    /// Returns: all of it.
    #[op]
    #[expect(clippy::too_many_arguments, reason = "one of each")]
    fn types(
        /// Yes or no.
        flag: bool,
        #[default(-3)]
        #[choices(-3, 4)]
        whole: i64,
        byte: u8,
        #[range(..=0.5)] float: f64,
        #[default("a\"b")] text: String,
        bytes: Vec<u8>,
        data: Data,
        list: Vec<Value>,
        r#map: Map,
        any: Value,
        #[range(0..)] maybe: Option<u32>,
        #[default(7)] given: Option<i64>,
    ) -> Result<Vec<Value>> {
        Ok(vec![
            flag.into(),
            whole.into(),
            byte.into(),
            float.into(),
            text.into(),
            bytes.into(),
            data.into(),
            list.into(),
            r#map.into(),
            any,
            maybe.into(),
            given.into(),
        ])
    }

    /// Has a name that no function can have.
    #[op("an-other")]
    fn renamed() -> Result<(&'static str, i64)> {
        Ok(("two", 2))
    }

    #[op]
    fn fails() -> Result<()> {
        Err(Failure::busy("later").with("queue", 3))
    }

    #[op]
    fn parses(number: String) -> Result<i64> {
        Ok(number.parse()?)
    }

    #[op]
    fn panics() -> Result<()> {
        log::info("about to");
        let nothing: &[u8] = &[];
        let at = Self::renamed()?.1;
        #[expect(clippy::indexing_slicing, reason = "on purpose")]
        let _ = nothing[usize::try_from(at)?];
        Ok(())
    }

    /// Answers when the timer fires.
    #[op]
    fn waits(call: &Call, delay_ms: u32) -> Result<Reply> {
        let token = call.token();
        timer::set_durable(
            "answer",
            Duration::from_millis(delay_ms.into()),
            token.to_le_bytes(),
        )?;
        kv::set("waits", call.client_name())?;
        Ok(later(token))
    }

    #[timer]
    fn fired(id: String, payload: Vec<u8>) -> Result<()> {
        let token = payload.as_slice().try_into().map(u64::from_le_bytes)?;
        let who = kv::get("waits")?.map(String::from_utf8).transpose()?;
        complete(token, Ok(map! { id, who }))
    }

    /// Calls the client.
    #[op]
    fn asks(call: &Call) -> Result<()> {
        client::call(
            call.session(),
            "ask",
            vec!["how".into()],
            Duration::from_secs(2),
            "tag",
        )
    }

    #[answer]
    fn answered(tag: String, answer: Answer) -> Result<Value> {
        match answer {
            Ok(values) => Ok(map! { tag, values }.into()),
            Err(failure) => {
                Ok(map! { tag, code: failure.code(), message: failure.message() }.into())
            }
        }
    }

    #[event("screen-lost", "playback-ended")]
    fn happened(mut details: Map) -> Result<Value> {
        Ok(details.remove("path").unwrap_or_default())
    }

    #[event("started")]
    fn started(call: &Call, _details: Map) -> Result<u64> {
        Ok(call.session())
    }

    /// Makes a file, piece by piece, and a picture.
    #[op]
    fn makes(path: String) -> Result<(Data, u64)> {
        let mut writer = Writer::new();
        for piece in [b"ab".as_slice(), b"c"] {
            writer.write(piece)?;
        }
        let made = writer.finish()?;
        store::put(&path, &made, "letters", &[])?;
        let mut animation = display::Animation::new(1, 1, 0);
        animation.frame(&[1, 2, 3, 255], 40)?;
        display::animate(animation)?;
        let scale = settings::get::<f64>("scale")?.unwrap_or(1.0);
        log::debug(&format!("scale {scale}"));
        Ok((made, store::open(&path)?.size()))
    }
}
