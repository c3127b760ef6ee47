//! Counts, each request exactly once: a client that sends a request again after a broken line or a power cut gets the
//! number that it was to get, and nothing is counted twice. There is no code for that here; the host does it.

use pixelboy_plugin::kv;
use pixelboy_plugin::prelude::*;

/// Of the keys under which counts are kept: room for other things that a later version keeps.
const PREFIX: &str = "count/";

/// Counts, each request exactly once.
#[plugin]
impl Counter {
    /// Counts.
    ///
    /// Returns: the count after that.
    #[op]
    fn count(
        /// What is counted; each has a count of its own.
        #[default("things")]
        what: String,
        #[default(1)] by: i64,
    ) -> Result<i64> {
        let key = format!("{PREFIX}{what}");
        let before = kv::get_int(&key)?.unwrap_or(0);
        let full = || Failure::too_large(format!("{what} are at {before}: no room for {by} more"));
        let count = before.checked_add(by).ok_or_else(full)?;
        kv::set_int(&key, count)?;
        Ok(count)
    }

    /// Tells all counts.
    ///
    /// Returns: a map of what is counted to its count.
    #[op]
    fn counts() -> Result<Map> {
        let mut counts = Map::new();
        for key in kv::keys(PREFIX) {
            let key = key?;
            counts.insert(&key[PREFIX.len()..], kv::get_int(&key)?);
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pixelboy_plugin::test::Device;

    #[test]
    fn things_are_counted_apart() {
        let mut device = Device::of::<Counter>();
        assert_eq!(device.call("count", values![]), Ok(1.into()));
        assert_eq!(device.call("count", values!["cats", 3]), Ok(3.into()));
        assert_eq!(device.call("count", values!["cats"]), Ok(4.into()));
        let counts = map! { cats: 4, things: 1 };
        assert_eq!(device.call("counts", values![]), Ok(counts.into()));
    }

    #[test]
    fn what_does_not_fit_is_not_counted() {
        let mut device = Device::of::<Counter>();
        device.call("count", values!["cats", i64::MAX]).unwrap();
        let failure = device.call("count", values!["cats"]).unwrap_err();
        assert_eq!(failure.code(), "too-large");
        assert_eq!(
            device.call("count", values!["cats", 0]),
            Ok(i64::MAX.into())
        );
    }
}
