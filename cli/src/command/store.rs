//! `store`: a file from here, with the opcode that its contents ask for.

use clap::Args;
use pixelboy_client::{Source, Value};

use super::{say, with_client};
use crate::line::Settings;
use crate::media::{self, Kind};
use crate::progress::Progress;
use crate::trouble::Trouble;
use crate::words::standard_input;

/// Enough to know a file by.
const HEAD_BYTES: usize = 4_096;

/// Store a file from here: text, picture, GIF or sound
///
/// What it is shows by its bytes: text is stored with ss, pictures with si, GIFs with sg, sound with sm. A file of that name on
/// the device is replaced.
#[derive(Args, Debug)]
pub(crate) struct Store {
    /// The file here; - for standard input
    path: String,
    /// The path it gets on the device, such as cat.png or holiday/ [default: the file's own name]
    name: Option<String>,
    /// Add text at the end of the stored file instead of replacing it
    #[arg(long)]
    append: bool,
    /// Frames per second of a GIF [default: its own timing]
    #[arg(long, value_name = "N")]
    fps: Option<f64>,
}

impl Store {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        let name = name_on_device(&self.path, self.name.as_deref())?;
        let source = match self.path.as_str() {
            "-" => standard_input()?,
            path => Source::file(path)?,
        };
        let kind = media::kind(&source.head(HEAD_BYTES)?, &name)?;
        if self.append && kind != Kind::Text {
            return Err(Trouble::Usage(format!(
                "--append is for text, {} is none",
                source.name()
            )));
        }
        if self.fps.is_some() && kind != Kind::Animation {
            return Err(Trouble::Usage(format!(
                "--fps is for GIFs, {} is none",
                source.name()
            )));
        }
        let reply = with_client(settings, async |client| {
            let mut progress = Progress::new(source.name(), settings.json);
            let bytes = client
                .data(&source, &mut |done, total| progress.update(done, total))
                .await?;
            drop(progress);
            let name = Value::from(name);
            let (op, args) = match kind {
                Kind::Text => (
                    "ss",
                    vec![name, bytes, if self.append { "a" } else { "w" }.into()],
                ),
                Kind::Picture => ("si", vec![bytes, name]),
                Kind::Sound => ("sm", vec![0.into(), bytes, name]),
                Kind::Animation => ("sg", vec![self.fps.unwrap_or(0.0).into(), bytes, name]),
            };
            Ok(client.call(op, args, [], None).await?)
        })
        .await?;
        say(settings, &reply)
    }
}

fn name_on_device(path: &str, name: Option<&str>) -> Result<String, Trouble> {
    let own = std::path::Path::new(path)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    match (name, own) {
        (Some(name), _) if path == "-" && !name.ends_with('/') => Ok(name.to_owned()),
        (_, _) if path == "-" => Err(Trouble::Usage(
            "standard input has no name; say which one it gets: pixelboy store - notes.txt"
                .to_owned(),
        )),
        (Some(folder), Some(own)) if folder.ends_with('/') => Ok(format!("{folder}{own}")),
        (Some(name), _) => Ok(name.to_owned()),
        (None, Some(own)) => Ok(own),
        (None, None) => Err(Trouble::Usage(format!("{path}: is a folder; name a file"))),
    }
}

#[cfg(test)]
mod tests {
    use super::name_on_device;

    #[test]
    fn a_file_keeps_its_name_unless_told_otherwise() {
        let name = |path: &str, name: Option<&str>| name_on_device(path, name).ok();
        assert_eq!(name("a/cat.png", None).unwrap(), "cat.png");
        assert_eq!(name("a/cat.png", Some("dog.png")).unwrap(), "dog.png");
        assert_eq!(name("a/cat.png", Some("pets/")).unwrap(), "pets/cat.png");
        assert_eq!(name("-", Some("n.txt")).unwrap(), "n.txt");
        assert_eq!(
            [name("-", None), name("-", Some("pets/")), name("..", None)],
            [None, None, None]
        );
    }
}
