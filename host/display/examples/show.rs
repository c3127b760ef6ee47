//! Shows a picture or an animation on a display, without the rest of the host:
//!
//! ```text
//! cargo run -p pixelboy-display --example show -- terminal cat.gif
//! cargo run -p pixelboy-display --example show -- 'pipe:python3 examples/pipe_display.py' cat.gif 64x32
//! ```
//!
//! It ends when the animation does, or after the seconds given as the fourth argument (10).

use std::error::Error;
use std::fs::File;
use std::time::Duration;

use pixelboy_display::{Display, DisplayEvent, DisplaySettings, Scene};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let mut arguments = std::env::args().skip(1);
    let backend = arguments
        .next()
        .ok_or("expected BACKEND FILE [WIDTHxHEIGHT] [SECONDS]")?;
    let file = arguments
        .next()
        .ok_or("expected a file after the backend")?;
    let mut settings = DisplaySettings::from_backend(&backend)?;
    if let Some(size) = arguments.next() {
        settings.set_size(&size)?;
    }
    let seconds: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let display = Display::start(&settings);
    let mut events = display.events();
    let source = File::open(&file)?.into();
    let scene = Scene::Animation {
        source,
        fps: None,
        loops: None,
    };
    let shown = display.show(scene, 1, file).await??;
    tracing::info!(?shown, "shown");
    let ended = async {
        while !matches!(
            events.recv().await,
            Ok(DisplayEvent::AnimationEnded { .. }) | Err(_)
        ) {}
    };
    // A still picture has no end.
    let _ = tokio::time::timeout(Duration::from_secs(seconds), ended).await;
    tokio::task::spawn_blocking(move || display.shutdown()).await?;
    Ok(())
}
