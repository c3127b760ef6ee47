//! Shows stored pictures and animations on the device's display.
//! Invariant: only a stored file is shown. How it is scaled and timed is the host's work.

use pixelboy_plugin::display;
use pixelboy_plugin::prelude::*;
use pixelboy_plugin::store::{self, File};

/// Shows stored pictures and animations on the device's display.
#[plugin]
impl ShowGif {
    /// Shows a stored picture; of an animation the first frame.
    ///
    /// Returns: {shown}: the path.
    #[op]
    fn ri(
        /// The picture, as it was stored by `si` or `sg`.
        path: String,
    ) -> Result<Map> {
        visible("ri", &path)?;
        display::show(&path)?;
        Ok(map! { shown: path })
    }

    /// Plays a stored animation.
    ///
    /// Returns: {shown, fps}: the path, and the speed it was stored with; null for the file's own timing.
    #[op]
    fn rg(
        /// The animation, as it was stored by `sg` or `si`.
        path: String,
    ) -> Result<Map> {
        let file = visible("rg", &path)?;
        if file.kind() == "image" {
            return Err(Failure::unsupported_media(format!(
                "rg plays an animation, {path:?} is a picture; use ri"
            )));
        }
        let fps = file
            .property("fps")
            .and_then(|text| text.parse::<f64>().ok());
        display::play(&path, fps, None)?;
        Ok(map! { shown: path, fps })
    }

    /// Makes the display dark.
    #[op]
    fn clear() -> Result<()> {
        display::clear()
    }
}

/// The file, unless it is known that there is nothing to see in it.
fn visible(op: &str, path: &str) -> Result<File> {
    let missing = || Failure::not_found(format!("there is no file {path:?}; store it first"));
    let file = store::find(path)?.ok_or_else(missing)?;
    let kind = file.kind();
    let what = match kind.as_str() {
        "audio" => "sound; play it with rm",
        "text" => "text",
        _ => return Ok(file),
    };
    let refusal = format!("{op} shows pictures, {path:?} is {what}");
    Err(Failure::unsupported_media(refusal).with("kind", kind))
}
