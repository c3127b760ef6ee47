//! Everything that ends a command without success: its exit code, and what a person or a program is told.
//! Invariant: the exit code says whether something happened: 1, 2, 3 and 5 that nothing did, 4 that it is not known.
//! A broken pipe is no trouble: the reader has seen enough.

use std::process::ExitCode;

use pixelboy_client::{Code, Error};
use serde_json::{Value as Json, json};

use crate::output;

/// What ends a command without success.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The line is wrong, or a file here.
    Usage(String),
    /// From the device or the way there.
    Device(Error),
    /// The same, with what to try.
    Advised(Error, String),
    /// Something was changed here, and it is not known what the device makes of it.
    Unsettled(String),
    /// Ctrl-C.
    Interrupted,
    /// Nobody reads the output any more.
    BrokenPipe,
    /// The output cannot be written.
    Output(std::io::Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Device(error)
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Output(error),
        }
    }
}

impl Trouble {
    /// Says it, and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if !matches!(self, Self::BrokenPipe | Self::Interrupted) {
            let told = match json {
                true => output::line(&self.json().to_string()),
                false => output::to_stderr(&format!("pixelboy: {}", self.message())),
            };
            // Where nobody can be told, the exit code speaks.
            drop(told);
        }
        ExitCode::from(self.exit_code())
    }

    /// As the help documents them.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Output(_) => 2,
            Self::Unsettled(_) => 4,
            Self::Interrupted => 130,
            Self::BrokenPipe => 0,
            Self::Device(error) | Self::Advised(error, _) => match error {
                open if open.leaves_open() => 4,
                Error::Failed(failure) if failure.code == Code::Deadline => 5,
                Error::Failed(_) | Error::NumberReused { .. } | Error::Mismatch => 1,
                Error::Address(_)
                | Error::NotSendable { .. }
                | Error::State { .. }
                | Error::File { .. } => 2,
                Error::Unreachable { .. }
                | Error::Refused { .. }
                | Error::Fenced { .. }
                | Error::Protocol { .. }
                | Error::Closed => 3,
                Error::OutcomeUnknown { .. }
                | Error::Forgotten { .. }
                | Error::RanReplyLost { .. }
                | Error::AlreadyConfirmed { .. } => 4,
                Error::TimedOut { .. } => 5,
            },
        }
    }

    /// A sentence a person can act on.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Usage(text) | Self::Unsettled(text) => text.clone(),
            Self::Device(error) => of_error(error),
            Self::Advised(error, advice) => format!("{}\n{advice}", of_error(error)),
            Self::Interrupted => "stopped".to_owned(),
            Self::BrokenPipe => String::new(),
            Self::Output(error) => format!("failed to write the output: {error}"),
        }
    }

    fn json(&self) -> Json {
        let (code, details) = match self {
            Self::Usage(_) | Self::Output(_) => ("usage", vec![]),
            Self::Unsettled(_) => ("outcome-unknown", vec![]),
            Self::Interrupted | Self::BrokenPipe => ("interrupted", vec![]),
            Self::Device(error) | Self::Advised(error, _) => match error {
                Error::Failed(failure) => (failure.code.name(), failure.details.clone()),
                Error::Refused { code, .. } => (code.name(), vec![]),
                Error::Fenced { .. } => ("fenced", vec![]),
                Error::Address(_) | Error::NotSendable { .. } => ("usage", vec![]),
                Error::State { .. } | Error::File { .. } => ("file", vec![]),
                Error::Unreachable { .. } => ("unreachable", vec![]),
                Error::Protocol { .. } => ("protocol", vec![]),
                Error::Closed => ("closed", vec![]),
                Error::OutcomeUnknown { .. } => ("outcome-unknown", vec![]),
                Error::Forgotten { .. } => ("client-forgotten", vec![]),
                Error::NumberReused { .. } => ("number-reused", vec![]),
                Error::RanReplyLost { .. } => ("ran-reply-lost", vec![]),
                Error::AlreadyConfirmed { .. } => ("already-confirmed", vec![]),
                Error::TimedOut { .. } => ("timed-out", vec![]),
                Error::Mismatch => ("digest-mismatch", vec![]),
            },
        };
        let details: serde_json::Map<String, Json> = details
            .into_iter()
            .map(|(name, value)| (name, Json::String(value)))
            .collect();
        let message = match self {
            Self::Device(Error::Failed(failure)) => failure.message.clone(),
            _ => self.message(),
        };
        json!({"error": {"code": code, "message": message, "details": details}})
    }
}

/// An error in words.
pub(crate) fn of_error(error: &Error) -> String {
    match error {
        Error::Failed(failure) => format!("{} ({})", failure.message, failure.code),
        // This command ends: only a next one with the same state file could ask on for the same operation.
        Error::OutcomeUnknown { op, why, .. } => format!(
            "{op} may or may not have happened: {why}\nthe next line with the same --state FILE tells; without one look first (pixelboy ls, stat or status), then do it again if it is missing"
        ),
        other => other.to_string(),
    }
}
