//! A guest for the end-to-end tests: slow, changeable, and wrong on demand.

use pixelboy_plugin::prelude::*;
use pixelboy_plugin::{log, store};

/// Slow, changeable, and wrong on demand.
#[plugin]
impl Lab {
    /// Says which build this is.
    #[op]
    fn version() -> Result<&'static str> {
        // The tests change the letter in the built file.
        let version = std::hint::black_box("lab version A");
        assert!(!version.ends_with('X'), "this build is broken");
        Ok(version)
    }

    /// Computes for a while.
    ///
    /// Returns: a number that says nothing.
    #[op]
    fn spin(rounds: i64) -> Result<i64> {
        Ok(work(rounds))
    }

    /// Adds a text to a file, then computes for a while.
    ///
    /// Returns: the offset.
    #[op]
    fn slow_note(path: String, text: Data, rounds: i64) -> Result<u64> {
        let offset = store::append(&path, &text)?;
        work(rounds);
        Ok(offset)
    }

    /// Adds a text to a file.
    ///
    /// Returns: all of the file.
    #[op]
    fn noted(path: String, text: Data) -> Result<Data> {
        store::append(&path, &text)?;
        Ok(store::open(&path)?.data())
    }

    /// Says which session it was called from.
    #[op]
    fn session(call: &Call) -> Result<String> {
        Ok(call.session().to_string())
    }

    /// Counts what it is given.
    #[op]
    fn count(values: Vec<Value>) -> Result<u64> {
        Ok(values.len() as u64)
    }

    /// Adds a text to a file, then refuses.
    #[op]
    fn refused_note(path: String, text: Data) -> Result<()> {
        store::append(&path, &text)?;
        Err(Failure::failed("refused as asked"))
    }

    /// Writes lines to the log.
    #[op]
    fn chatter(lines: i64) -> Result<()> {
        for line in 0..lines {
            log::info(&format!("line {line}"));
        }
        Ok(())
    }

    /// Adds a text to a file, then crashes.
    #[op]
    #[expect(clippy::panic, reason = "as asked")]
    fn crashed_note(path: String, text: Data) -> Result<()> {
        store::append(&path, &text)?;
        panic!("crashed as asked");
    }
}

/// One multiplication after the other, so that no compiler can do them at once.
fn work(rounds: i64) -> i64 {
    let number = (0..rounds).fold(1, |number: i64, _| {
        number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1)
    });
    // Also where nobody asks for the number.
    std::hint::black_box(number)
}
