//! `show`: a stored picture or animation, by what it is.

use clap::Args;
use pixelboy_client::Value;

use super::{hint_at_local_file, in_own_words, say, with_client};
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
            shown.map_err(|error| in_own_words(error.into(), "show", "pictures", &name))
        })
        .await;
        say(
            settings,
            &shown.map_err(|trouble| hint_at_local_file(trouble, &name))?,
        )
    }
}
