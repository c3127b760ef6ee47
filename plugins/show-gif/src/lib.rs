//! Shows stored pictures and animations.

use pixelboy_plugin::prelude::*;
use pixelboy_plugin::{display, store};

/// Shows stored pictures and animations on the device's display.
#[plugin]
impl ShowGif {
    /// Shows a stored picture; of an animation its first frame.
    ///
    /// Returns: {shown}, the path.
    #[op]
    fn ri(
        /// The picture, as it was stored by si or sg.
        path: String,
    ) -> Result<Map> {
        display::show(&path)?;
        Ok(map! { shown: path })
    }

    /// Plays a stored animation.
    ///
    /// Returns: {shown, fps}, the path and the frames per second; null for the file's own timing.
    #[op]
    fn rg(
        /// The animation, as it was stored by sg or si.
        path: String,
    ) -> Result<Map> {
        let fps = store::open(&path)?
            .property("fps")
            .and_then(|fps| fps.parse::<f64>().ok());
        display::play(&path, fps, None)?;
        Ok(map! { shown: path, fps })
    }

    /// Makes the display dark.
    #[op]
    fn clear() -> Result<()> {
        display::clear()
    }
}
