//! `show`: a stored picture or animation, by what it is.

use clap::Args;
use pixelboy_client::{Error, Value};

use super::{hint_at_local_file, say, with_client};
use crate::line::Settings;
use crate::trouble::Trouble;

/// Show a stored picture or animation
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// Its path on the device
    name: String,
}

impl Show {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        let name = self.name;
        let shown = with_client(settings, async |client| {
            let about = client
                .call("stat", [name.as_str().into()], [], None)
                .await?;
            let kind = about.get("kind").and_then(Value::as_text);
            let shown = match kind {
                Some("animation") => client.rg(&name).await,
                _ => client.ri(&name).await,
            };
            shown.map_err(|error| advised(error, kind, &name))
        })
        .await;
        say(
            settings,
            &shown.map_err(|trouble| hint_at_local_file(trouble, &name))?,
        )
    }
}

/// What this program does with what is no picture.
fn advised(error: Error, kind: Option<&str>, name: &str) -> Trouble {
    match kind {
        Some("audio") => Trouble::Advised(error, format!("try: pixelboy play {name}")),
        Some("text") => Trouble::Advised(error, format!("try: pixelboy get {name} -o -")),
        _ => error.into(),
    }
}
