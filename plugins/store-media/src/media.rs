//! What was sent, whether it is what the opcode takes, and the facts that are kept with it.

use pixelboy_plugin::prelude::*;
use pixelboy_plugin::probe::{self, Media};
use pixelboy_plugin::store::File;

/// The facts' names, in the order in which they are told.
const FACTS: [&str; 8] = [
    "format",
    "width",
    "height",
    "frames",
    "sample_rate",
    "channels",
    "duration_ms",
    "fps",
];

/// What an opcode takes.
#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    /// `si`: whatever has a first frame.
    Picture,
    /// `sm`.
    Sound,
    /// `sg`: a GIF, even of one frame.
    Gif,
}

/// Decodes what was sent; refuses another kind, and a name whose ending promises another format.
pub(crate) fn check(wanted: Wanted, bytes: &Data, name: &str) -> Result<Media> {
    let found = probe::probe(bytes)?;
    let (kind, format) = (found.kind(), found.format());
    let (takes, fits) = match wanted {
        Wanted::Picture => ("si takes a picture", kind != "audio"),
        Wanted::Sound => ("sm takes sound", kind == "audio"),
        Wanted::Gif => ("sg takes a GIF", format == "gif"),
    };
    if !fits {
        let right = match (kind.as_str(), format.as_str()) {
            ("audio", _) => "sm",
            (_, "gif") => "sg",
            _ => "si",
        };
        return Err(Failure::unsupported_media(format!(
            "{takes}, got {kind}/{format}; use {right}"
        )));
    }
    if !found.suits_name(name) {
        let advice = format!("the bytes are {format}, take a name that ends so");
        return Err(Failure::bad_arguments(format!(
            "the name {name:?} promises another format; {advice}"
        )));
    }
    Ok(found)
}

/// Refuses text under a name that promises something else.
pub(crate) fn check_name_of_text(path: &str) -> Result<()> {
    let ending = path
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_lowercase());
    let promised = match ending.as_deref() {
        Some("png" | "jpg" | "jpeg" | "bmp" | "gif" | "webp") => "a picture",
        Some("mp3" | "wav" | "flac" | "ogg" | "oga") => "sound",
        _ => return Ok(()),
    };
    Err(Failure::bad_arguments(format!(
        "the name {path:?} promises {promised}, the bytes are text; take a name such as \"notes.txt\""
    )))
}

/// What is known about media.
pub(crate) fn facts(media: &Media) -> Vec<(&'static str, Value)> {
    let mut facts = vec![("format", Value::from(media.format()))];
    if media.kind() != "audio" {
        let (width, height) = media.size();
        facts.extend([
            ("width", width.into()),
            ("height", height.into()),
            ("frames", media.frames().into()),
        ]);
    }
    let whole = [
        ("sample_rate", media.sample_rate()),
        ("channels", media.channels()),
    ];
    facts.extend(
        whole
            .into_iter()
            .filter_map(|(name, fact)| Some((name, fact?.into()))),
    );
    facts.extend(
        media
            .duration_ms()
            .map(|duration_ms| ("duration_ms", duration_ms.into())),
    );
    facts
}

/// Facts as properties of a file, which are text.
pub(crate) fn properties(facts: &[(&'static str, Value)]) -> Vec<(String, String)> {
    let text = |fact: &Value| match fact {
        Value::Int(it) => Some(it.to_string()),
        // With a point, so that it comes back as a float.
        Value::Float(it) => Some(format!("{it:?}")),
        Value::Text(it) => Some(it.clone()),
        _ => None,
    };
    facts
        .iter()
        .filter_map(|(name, fact)| Some(((*name).to_owned(), text(fact)?)))
        .collect()
}

/// The facts that were kept with a file.
pub(crate) fn remembered(file: &File) -> impl Iterator<Item = (&'static str, Value)> {
    FACTS
        .into_iter()
        .filter_map(|name| Some((name, typed(file.property(name)?))))
}

fn typed(text: String) -> Value {
    match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(whole), _) => whole.into(),
        (_, Ok(float)) => float.into(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Value, properties, typed};

    #[test]
    fn a_fact_comes_back_from_its_property_with_its_type() {
        let sent = [
            ("width", Value::from(64_u32)),
            ("fps", Value::from(10.0)),
            ("format", Value::from("gif")),
        ];
        let back: Vec<Value> = properties(&sent)
            .into_iter()
            .map(|(_, text)| typed(text))
            .collect();
        assert!(
            matches!(
                back.as_slice(),
                [Value::Int(64), Value::Float(10.0), Value::Text(_)]
            ),
            "{back:?}"
        );
    }
}
