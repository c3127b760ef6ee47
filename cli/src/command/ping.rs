//! `ping`: whether the device can be reached; the exit code tells.

use std::time::Duration;

use clap::Args;
use pixelboy_client::{Client, Error};
use serde_json::json;

use super::options;
use crate::line::{Settings, pause};
use crate::output;
use crate::trouble::Trouble;

/// How long one attempt may take, unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Tell whether the device answers, and how fast
#[derive(Args, Debug)]
pub(crate) struct Ping {
    /// Try so often again, where there is no answer
    #[arg(long, value_name = "TIMES", default_value = "0", value_parser = times)]
    retry: u32,
    /// Seconds between attempts
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = pause)]
    delay: Duration,
}

impl Ping {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        let timeout = settings.timeout.unwrap_or(TIMEOUT);
        let settings = Settings {
            timeout: Some(timeout),
            // It is nobody in particular: what an earlier line sent is for the next one that does something.
            state: None,
            ..settings.clone()
        };
        let mut left = self.retry;
        loop {
            match once(&settings, timeout).await {
                Ok(()) => return Ok(()),
                Err(trouble) if left == 0 || trouble.exit_code() != 3 => return Err(trouble),
                Err(_) => {
                    left -= 1;
                    tokio::time::sleep(self.delay).await;
                }
            }
        }
    }
}

fn times(text: &str) -> Result<u32, &'static str> {
    text.parse()
        .map_err(|_| "expected how often, a whole number such as 5")
}

async fn once(settings: &Settings, timeout: Duration) -> Result<(), Trouble> {
    let client = Client::connect(&settings.host, options(settings))
        .await
        .map_err(without_advice)?;
    // A device that greets but does not answer cannot be reached, for all practical purposes.
    let took = client.ping(timeout).await.map_err(|error| {
        Trouble::Device(Error::Unreachable {
            address: client.address().clone(),
            why: error.to_string(),
        })
    })?;
    let milliseconds = took.as_secs_f64() * 1_000.0;
    let (address, host) = (client.address().to_string(), output::plain(client.host()));
    let text = match settings.json {
        true => json!({"address": address, "host": host, "ms": milliseconds}).to_string(),
        false => format!("{address} answers in {milliseconds:.1} ms ({host})"),
    };
    let _ = tokio::time::timeout(super::LEAVING, client.close()).await;
    Ok(output::line(&text)?)
}

/// This is the ping that others advise to try.
fn without_advice(error: Error) -> Error {
    match error {
        Error::Unreachable { address, why } => Error::Unreachable {
            address,
            why: why.trim_end_matches(" try: pixelboy ping").to_owned(),
        },
        other => other,
    }
}
