//! Strings from one client to all others. A client hears them as pushes: `said`, `joined` and `left`.
//! What is said is kept nowhere: who is away does not hear it.

use pixelboy_plugin::client;
use pixelboy_plugin::prelude::*;

/// Strings from one client to all others.
#[plugin]
impl Chat {
    /// Says something to all others: each hears `said` with who says it and what.
    ///
    /// Returns: how many are told.
    #[op]
    fn say(call: &Call, text: String) -> Result<usize> {
        if text.is_empty() {
            return Err(Failure::bad_arguments("there is nothing to say"));
        }
        tell_others(
            call.session(),
            "said",
            &[&called(&call.client_name()), &text],
        )
    }

    #[event("client-joined")]
    fn joined(details: Map) -> Result<()> {
        tell_others(session(&details), "joined", &[&name(&details)]).map(drop)
    }

    #[event("client-left")]
    fn left(details: Map) -> Result<()> {
        tell_others(session(&details), "left", &[&name(&details)]).map(drop)
    }
}

/// Pushes words to every session but one; how many.
fn tell_others(but: u64, op: &str, words: &[&str]) -> Result<usize> {
    let mut told = 0;
    for session in client::sessions().into_iter().filter(|it| *it != but) {
        let words = words.iter().map(|&word| word.into()).collect();
        match client::push(session, op, words) {
            Ok(()) => told += 1,
            // Gone since we asked who is there.
            Err(failure) if failure.code() == "not-found" => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(told)
}

fn session(details: &Map) -> u64 {
    details.int("session").map_or(0, i64::cast_unsigned)
}

fn name(details: &Map) -> String {
    called(details.text("name").unwrap_or_default())
}

fn called(name: &str) -> String {
    if name.is_empty() { "somebody" } else { name }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pixelboy_plugin::test::Device;

    /// What was pushed: to whom, and what.
    fn heard(device: &mut Device) -> Vec<(u64, String, Vec<Value>)> {
        let pushed = device.pushed().into_iter();
        pushed.map(|it| (it.session, it.op, it.args)).collect()
    }

    #[test]
    fn all_but_one_hear_it() {
        let mut device = Device::of::<Chat>();
        let ada = device.join("ada");
        let nameless = device.join("");
        assert_eq!(
            heard(&mut device),
            [(ada, "joined".into(), values!["somebody"])]
        );
        assert_eq!(device.call_as(ada, "say", values!["hello"]), Ok(1.into()));
        let hello = values!["ada", "hello"];
        assert_eq!(heard(&mut device), [(nameless, "said".into(), hello)]);
        device.leave(ada);
        assert_eq!(
            heard(&mut device),
            [(nameless, "left".into(), values!["ada"])]
        );
    }
}
