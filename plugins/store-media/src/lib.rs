//! Keeps text, pictures, animations and sound on the device.
//! Invariant: whatever is stored as media was decoded first, and its name doesn't promise another format.
//! The stored bytes are the sent bytes; they never pass through this plugin.

mod media;

use media::{Wanted, check};
use pixelboy_plugin::prelude::*;
use pixelboy_plugin::store::{self, File};

/// Below it a display does not play.
const SLOWEST_FPS: f64 = 0.001;

/// Keeps text, pictures, animations and sound on the device.
#[plugin]
impl StoreMedia {
    /// Stores text.
    ///
    /// Returns: {path, kind, size, offset, sha256}: the file and its new size in bytes; where the text lies in it, and the
    /// SHA-256 of the text as it was sent.
    #[op]
    fn ss(
        /// The file, such as "notes.txt" or "diary/monday.txt"; folders come into being by themselves.
        path: String,
        /// The text, in UTF-8.
        text: Data,
        /// "a" adds it at the end, "w" replaces the file, "r+" writes over the start of a file that exists.
        #[default("a")]
        #[choices("a", "w", "r+")]
        mode: String,
    ) -> Result<Map> {
        if !text.is_text()? {
            return Err(Failure::unsupported_media(
                "ss takes text in UTF-8, got other bytes; use si, sm or sg",
            ));
        }
        media::check_name_of_text(&path)?;
        let before = store::find(&path)?;
        let (offset, size) = match (mode.as_str(), &before) {
            ("w", _) => {
                store::put(&path, &text, "text", &[])?;
                (0, text.len())
            }
            (_, Some(file)) if file.kind() != "text" => {
                let kind = file.kind();
                let advice = "take another path, or mode \"w\" to replace it";
                return Err(Failure::bad_arguments(format!(
                    "{path:?} is no text, its kind is {kind}; {advice}"
                )));
            }
            ("r+", None) => {
                let advice = "mode \"a\" or \"w\" makes it";
                return Err(Failure::not_found(format!(
                    "there is no file {path:?} to write over; {advice}"
                )));
            }
            ("r+", Some(file)) => {
                store::overwrite(&path, &text)?;
                (0, file.size().max(text.len()))
            }
            _ => {
                let offset = store::append(&path, &text)?;
                (offset, offset + text.len())
            }
        };
        Ok(map! { path, kind: "text", size, offset, sha256: text.sha256()? })
    }

    /// Stores a picture.
    ///
    /// Of an animation `ri` shows the first frame; `sg` takes a speed for one.
    ///
    /// Returns: {path, kind, size, sha256, format, width, height, frames, duration_ms}; the last one for animations.
    #[op]
    fn si(
        /// A PNG, JPEG, BMP, GIF or WebP file.
        image: Data,
        /// The path it gets, such as "cat.png"; a file of that name is replaced.
        name: String,
    ) -> Result<Map> {
        let found = check(Wanted::Picture, &image, &name)?;
        keep(&name, &image, &found.kind(), media::facts(&found))
    }

    /// Stores sound.
    ///
    /// Returns: {path, kind, size, sha256, format, sample_rate, channels, duration_ms}.
    #[op]
    fn sm(
        /// The sample rate in Hz, which must be that of the file; 0 takes the file's own.
        #[range(0..)]
        frame_rate: i64,
        /// An MP3, WAV, FLAC or OGG file.
        audio: Data,
        /// The path it gets, such as "song.mp3"; a file of that name is replaced.
        name: String,
    ) -> Result<Map> {
        let found = check(Wanted::Sound, &audio, &name)?;
        let own = found.sample_rate().unwrap_or(0);
        if frame_rate != 0 && frame_rate != i64::from(own) {
            let advice = format!("send {own}, or 0 for the file's own");
            return Err(Failure::bad_arguments(format!(
                "the file has {own} Hz, not {frame_rate} Hz; {advice}"
            )));
        }
        keep(&name, &audio, "audio", media::facts(&found))
    }

    /// Stores an animation.
    ///
    /// Returns: {path, kind, size, sha256, format, width, height, frames, duration_ms, fps}; the last one if it was given.
    #[op]
    fn sg(
        /// Frames per second for `rg`, at least 0.001, kept with the file; 0 for the file's own timing.
        #[range(0.0..=200.0)]
        fps: f64,
        /// A GIF file.
        gif: Data,
        /// The path it gets, such as "party.gif"; a file of that name is replaced.
        name: String,
    ) -> Result<Map> {
        if fps > 0.0 && fps < SLOWEST_FPS {
            return Err(Failure::bad_arguments(format!(
                "fps must be 0, or {SLOWEST_FPS} to 200, got {fps}"
            )));
        }
        let found = check(Wanted::Gif, &gif, &name)?;
        let mut facts = media::facts(&found);
        if fps > 0.0 {
            facts.push(("fps", Value::from(fps)));
        }
        keep(&name, &gif, "animation", facts)
    }

    /// Lists a folder.
    ///
    /// Returns: a list of {name, path, kind, size, modified_ms}, by name; of a folder {name, path, kind: "folder"}.
    #[op]
    fn ls(
        /// The folder; "" is the top.
        #[default("")]
        folder: String,
        /// Only names that come after this one, to go on with a long list.
        after: Option<String>,
        /// At most so many; all when absent.
        #[range(1..)]
        limit: Option<u32>,
    ) -> Result<Value> {
        let folder = folder.trim_end_matches('/');
        let first_page = after.is_none();
        let limit = limit.map_or(usize::MAX, |limit| limit as usize);
        let entries = store::names(folder, after)
            .take(limit)
            .map(|name| entry(folder, name?));
        let entries: Vec<Map> = entries.collect::<Result<_>>()?;
        if entries.is_empty() && first_page && !folder.is_empty() {
            return Err(Failure::not_found(format!("there is no folder {folder:?}")));
        }
        Ok(entries.into())
    }

    /// Fetches a stored file.
    ///
    /// Returns: the bytes, and what `stat` tells.
    #[op]
    fn get(
        /// The file.
        path: String,
    ) -> Result<(Data, Map)> {
        let file = open(&path)?;
        Ok((file.data(), told(path, &file)?))
    }

    /// Removes a stored file.
    ///
    /// Returns: {path}.
    #[op]
    fn del(
        /// The file.
        path: String,
    ) -> Result<Map> {
        open(&path)?;
        store::remove(&path)?;
        Ok(map! { path })
    }

    /// Tells what is known about a stored file.
    ///
    /// Returns: {path, kind, size, sha256, modified_ms} and, of media, what storing it answered.
    #[op]
    fn stat(
        /// The file.
        path: String,
    ) -> Result<Map> {
        let file = open(&path)?;
        told(path, &file)
    }
}

/// The file; a folder is told from nothing.
fn open(path: &str) -> Result<File> {
    if let Some(file) = store::find(path)? {
        return Ok(file);
    }
    Err(match store::names(path, None).next() {
        Some(Ok(_)) => Failure::not_found(format!(
            "{path:?} is a folder, not a file; ls {path:?} lists the files in it"
        )),
        _ => Failure::not_found(format!("there is no file {path:?}")),
    })
}

/// Puts a file that was checked, with its facts as properties. The reply.
fn keep(path: &str, bytes: &Data, kind: &str, facts: Vec<(&'static str, Value)>) -> Result<Map> {
    store::put(path, bytes, kind, &media::properties(&facts))?;
    let mut reply = map! { path, kind, size: bytes.len(), sha256: bytes.sha256()? };
    reply.extend(facts);
    Ok(reply)
}

/// What `stat` and `get` answer.
fn told(path: String, file: &File) -> Result<Map> {
    let modified_ms = file.modified_ms();
    let mut reply = map! { path, kind: file.kind(), size: file.size(), sha256: file.data().sha256()?, modified_ms };
    reply.extend(media::remembered(file));
    Ok(reply)
}

/// One line of `ls`.
fn entry(folder: &str, name: String) -> Result<Map> {
    let path = if folder.is_empty() {
        name.clone()
    } else {
        format!("{folder}/{name}")
    };
    if name.ends_with('/') {
        return Ok(map! { name, path, kind: "folder" });
    }
    let file = store::open(&path)?;
    Ok(map! { name, path, kind: file.kind(), size: file.size(), modified_ms: file.modified_ms() })
}
