//! Why an operation did not happen.
//! Invariant: a code is a name from `protocol/SPEC.md`; the constructors here are that list.
//! Deliberately no [`std::error::Error`]: that leaves `?` free to turn any error into a failure.

use crate::bindings::pixelboy::plugin::types;

/// What a handler returns; everything it staged is dropped with an error.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// A code for programs, a sentence for people, and details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    code: String,
    message: String,
    details: Vec<(String, String)>,
}

impl Failure {
    /// Any code; one that `protocol/SPEC.md` doesn't know arrives at the client as `failed`.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// The same failure with one more detail for programs.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.details.push((name.into(), value.to_string()));
        self
    }

    /// Its code, such as `not-found`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sentence for people: what was expected, what came, what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Details, as (name, value).
    pub fn details(&self) -> &[(String, String)] {
        &self.details
    }

    pub(crate) fn from_host(failure: types::Failure) -> Self {
        Self {
            code: failure.code,
            message: failure.message,
            details: failure.details,
        }
    }

    pub(crate) fn into_host(self) -> types::Failure {
        types::Failure {
            code: self.code,
            message: self.message,
            details: self.details,
        }
    }
}

/// A constructor for each code.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        impl Failure {
            $($(#[$doc])*
            pub fn $name(message: impl Into<String>) -> Self {
                Self::new($code, message)
            })*
        }
    };
}

codes! {
    /// Anything that has no code of its own.
    failed = "failed";
    /// The arguments do not go together, or one is not what it should be.
    bad_arguments = "bad-arguments";
    /// There is no such thing.
    not_found = "not-found";
    /// It is there already.
    exists = "exists";
    /// The bytes are not what this takes, or are broken.
    unsupported_media = "unsupported-media";
    /// More than fits.
    too_large = "too-large";
    /// The device is full.
    no_space = "no-space";
    /// A path that no file can have.
    bad_path = "bad-path";
    /// Too much at once; try later.
    busy = "busy";
    /// Not possible as things are; the message tells what to do first.
    bad_state = "bad-state";
    /// There is no sound to act on.
    nothing_playing = "nothing-playing";
    /// The device has no display or no speaker.
    no_device = "no-device";
    /// This plugin doesn't do that.
    unsupported = "unsupported";
}

/// `?` on any error: its text, under the code `failed`.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::failed(error.to_string())
    }
}

/// `?` on what the host answers.
pub(crate) trait FromHost<T> {
    fn or_failure(self) -> Result<T>;
}

impl<T> FromHost<T> for Result<T, types::Failure> {
    fn or_failure(self) -> Result<T> {
        self.map_err(Failure::from_host)
    }
}

/// Storage that fails says so in words only.
impl<T> FromHost<T> for Result<T, String> {
    fn or_failure(self) -> Result<T> {
        self.map_err(Failure::failed)
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn a_question_mark_turns_any_error_into_a_failure() {
        fn parse(text: &str) -> super::Result<i64> {
            Ok(text.parse::<i64>()?)
        }
        assert_eq!(
            parse("x"),
            Err(Failure::failed("invalid digit found in string"))
        );
        assert_eq!(parse("7"), Ok(7));
    }
}
