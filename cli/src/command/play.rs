//! `play`: stored sound, staying until it ends.
//! Invariant: while it stays, Ctrl-C stops the music; with `--detach` the music outlives the command.

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use pixelboy_client::{Client, Error, Value};

use super::{hint_at_local_file, in_own_words, say, with_client};
use crate::line::Settings;
use crate::output;
use crate::said::minutes;
use crate::trouble::Trouble;

/// The longest pause between two looks at the device.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_SOON: Duration = Duration::from_millis(100);

/// Play stored sound until it ends; Ctrl-C stops it
#[derive(Args, Debug)]
pub(crate) struct Play {
    /// Its path on the device
    name: String,
    /// End at once and let the music go on
    #[arg(long)]
    detach: bool,
}

impl Play {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        let played = with_client(settings, async |client| {
            let reply = client
                .rm(&self.name, self.detach)
                .await
                .map_err(|error| in_own_words(error.into(), "play", "sound", &self.name))?;
            say(settings, &reply)?;
            match self.detach {
                true => Ok(()),
                false => stay(client, &self.name, settings.json).await,
            }
        })
        .await;
        played.map_err(|trouble| hint_at_local_file(trouble, &self.name))
    }
}

/// Until the music ends, by itself or by Ctrl-C.
async fn stay(client: &Client, name: &str, json: bool) -> Result<(), Trouble> {
    let mut bar = None;
    let waited = tokio::select! {
        ended = until_end(client, name, json, &mut bar) => ended,
        pressed = tokio::signal::ctrl_c() => match pressed {
            Ok(()) => stop(client).await,
            Err(error) => Err(Trouble::Usage(format!("Ctrl-C cannot be listened for: {error}"))),
        },
    };
    if let Some(bar) = bar {
        ProgressBar::finish_and_clear(&bar);
    }
    waited
}

async fn stop(client: &Client) -> Result<(), Trouble> {
    match client.stop().await {
        // It may have ended just now.
        Ok(_) | Err(Error::Failed(_)) => Err(Trouble::Interrupted),
        Err(error) => Err(error.into()),
    }
}

async fn until_end(
    client: &Client,
    name: &str,
    json: bool,
    bar: &mut Option<ProgressBar>,
) -> Result<(), Trouble> {
    loop {
        let status = client.status().await?;
        let Some(playing) = status
            .get("playing")
            .filter(|playing| playing.as_map().is_some())
        else {
            return Ok(());
        };
        let path = playing
            .get("path")
            .and_then(Value::as_text)
            .unwrap_or_default();
        if path != name {
            if !json {
                output::to_stderr(&format!("now {} plays", output::plain(path)))?;
            }
            return Ok(());
        }
        let time = |key| {
            playing
                .get(key)
                .and_then(Value::as_int)
                .map(i64::unsigned_abs)
        };
        let paused = playing.get("paused").and_then(Value::as_bool) == Some(true);
        let (position, duration) = (time("position_ms"), time("duration_ms"));
        draw(bar, name, position, duration, paused, json);
        let look = match (position, duration) {
            (Some(position), Some(duration)) if !paused => {
                Duration::from_millis(duration.saturating_sub(position)).clamp(LOOK_SOON, LOOK)
            }
            _ => LOOK,
        };
        tokio::time::sleep(look).await;
    }
}

fn draw(
    bar: &mut Option<ProgressBar>,
    name: &str,
    position: Option<u64>,
    duration: Option<u64>,
    paused: bool,
    json: bool,
) {
    let (Some(position), Some(duration)) = (position, duration) else {
        return;
    };
    if json || !output::is_watched() {
        return;
    }
    let bar = bar.get_or_insert_with(|| {
        let bar = ProgressBar::new(duration);
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.with_prefix(output::plain(name))
    });
    bar.set_position(position.min(duration));
    let paused = if paused { ", paused" } else { "" };
    bar.set_message(format!(
        "{} of {}{paused}",
        minutes(position),
        minutes(duration)
    ));
}
