//! `pause`, `resume`, `stop`, `quiet` and `volume`.

use clap::Args;
use pixelboy_client::{Code, Error, Reply, Value};

use super::{call_and_say, say, with_client};
use crate::line::Settings;
use crate::trouble::Trouble;

/// Pause the music
#[derive(Args, Debug)]
pub(crate) struct Pause {}

impl Pause {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        call_and_say(settings, "pm", vec![]).await
    }
}

/// Go on with paused music
#[derive(Args, Debug)]
pub(crate) struct Resume {}

impl Resume {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        // This command ends at once; the music should not end with it.
        call_and_say(settings, "um", vec![true.into()]).await
    }
}

/// Stop the music; an error where none plays
#[derive(Args, Debug)]
pub(crate) struct Stop {}

impl Stop {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        call_and_say(settings, "stop", vec![]).await
    }
}

/// Stop the music if there is any
#[derive(Args, Debug)]
pub(crate) struct Quiet {}

impl Quiet {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        let reply = with_client(settings, async |client| match client.stop().await {
            Err(Error::Failed(failure)) if failure.code == Code::NothingPlaying => Ok(Reply {
                op: "stop".to_owned(),
                values: vec!["nothing was playing".into()],
                stored: None,
                recorded: false,
            }),
            other => Ok(other?),
        })
        .await?;
        say(settings, &reply)
    }
}

/// Set the volume of the device
#[derive(Args, Debug)]
pub(crate) struct Volume {
    /// 0 (silent) to 1 (loudest), or 0% to 100%
    #[arg(value_parser = loudness, allow_negative_numbers = true)]
    volume: f64,
}

impl Volume {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        call_and_say(settings, "sv", vec![Value::Float(self.volume)]).await
    }
}

fn loudness(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse::<f64>(),
    };
    match number {
        Ok(volume) if (0.0..=1.0).contains(&volume) => Ok(volume),
        _ => Err("expected 0 to 1, or 0% to 100%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::loudness;

    #[test]
    fn volume_is_a_part_or_percent() {
        assert_eq!(loudness("0.25"), Ok(0.25));
        assert_eq!(loudness("40%"), Ok(0.4));
        for wrong in ["2", "-1", "101%", "loud", "nan", ""] {
            assert!(loudness(wrong).is_err(), "{wrong}");
        }
    }
}
