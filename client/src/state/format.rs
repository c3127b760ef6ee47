//! The lines of a state file, version 1, as `clients/STATE.md` describes them; the Python client reads and writes the same.
//! Invariant: what was cut off by a crash is dropped, as it was not acted upon yet; any other damage is told.
//! Not here: files, locks, syncs (`file`).

use std::collections::BTreeMap;

use pixelboy_protocol::{ClientId, opcode};
use serde_json::{Map, Value as Json, json};

/// What every state file begins with.
const BEGINNING: &str = "{\"pixelboy_state\":";
const VERSION: u64 = 1;

/// What a state file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) client: ClientId,
    /// The store of the device that the client last talked to.
    pub(crate) store: Option<[u8; 16]>,
    /// The number of the next request.
    pub(crate) next: u64,
    /// Numbers of transfers below this may have been used.
    pub(crate) transfers_below: u64,
    /// Requests whose answer was not noted, by number.
    pub(crate) unanswered: BTreeMap<u64, KeptCall>,
}

/// A request as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptCall {
    pub(crate) op: String,
    /// The encoded args and kwargs.
    pub(crate) arguments: Vec<u8>,
    /// The device must not begin it later; milliseconds since 1970.
    pub(crate) until_ms: Option<u64>,
}

/// Why a file says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It was a state file, but is damaged: where.
    Torn(String),
    /// It is of a later version of this program.
    Newer(u64),
    /// It is something else, which must not be touched.
    Foreign,
}

/// Reads a whole file.
pub(crate) fn read(bytes: &[u8]) -> Result<Kept, Unreadable> {
    let begun = bytes.len().min(BEGINNING.len());
    let is_lost = bytes.iter().all(|byte| *byte == 0);
    if !is_lost && bytes.get(..begun) != BEGINNING.as_bytes().get(..begun) {
        return Err(Unreadable::Foreign);
    }
    let mut kept = None;
    // Behind the last line's end is nothing, or a line that a crash cut.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let lines = bytes.get(..whole).unwrap_or_default();
    for (index, line) in lines.split(|byte| *byte == b'\n').enumerate() {
        let torn = || Unreadable::Torn(format!("line {}", index + 1));
        let line: Map<String, Json> = serde_json::from_slice(line).map_err(|_| torn())?;
        match &mut kept {
            None => kept = Some(head(&line)?.ok_or_else(torn)?),
            Some(kept) => apply(kept, &line).ok_or_else(torn)?,
        }
    }
    kept.ok_or_else(|| Unreadable::Torn("its beginning".to_owned()))
}

fn head(line: &Map<String, Json>) -> Result<Option<Kept>, Unreadable> {
    match line.get("pixelboy_state").and_then(Json::as_u64) {
        Some(VERSION) => {}
        Some(later) if later > VERSION => return Err(Unreadable::Newer(later)),
        _ => return Ok(None),
    }
    let kept = || {
        Some(Kept {
            client: ClientId(id(line.get("client")?)?),
            store: match line.get("store") {
                None => None,
                Some(store) => Some(id(store)?),
            },
            next: number(line.get("next")?)?,
            transfers_below: number(line.get("transfers_below")?)?,
            unanswered: BTreeMap::new(),
        })
    };
    Ok(kept())
}

/// Unknown names are of later additions that do not matter to this version.
fn apply(kept: &mut Kept, line: &Map<String, Json>) -> Option<()> {
    if let Some(store) = line.get("store") {
        kept.store = Some(id(store)?);
    }
    if let Some(next) = line.get("next") {
        kept.next = number(next)?;
    }
    if let Some(below) = line.get("transfers_below") {
        kept.transfers_below = number(below)?;
    }
    if let Some(request) = line.get("request") {
        let number = number(request)?;
        let op = line.get("op")?.as_str().filter(|op| opcode::valid(op))?;
        let call = KeptCall {
            op: op.to_owned(),
            arguments: hex::decode(line.get("arguments")?.as_str()?).ok()?,
            until_ms: match line.get("until_ms") {
                None => None,
                Some(until) => Some(until.as_u64()?),
            },
        };
        kept.unanswered.insert(number, call);
        kept.next = kept.next.max(number + 1);
    }
    if let Some(given_up) = line.get("given_up")
        && let Some(call) = kept.unanswered.get_mut(&number(given_up)?)
    {
        call.until_ms = Some(0);
    }
    if let Some(answered) = line.get("answered") {
        kept.unanswered.remove(&number(answered)?);
    }
    Some(())
}

fn number(value: &Json) -> Option<u64> {
    value.as_u64().filter(|number| *number > 0)
}

fn id(value: &Json) -> Option<[u8; 16]> {
    let mut id = [0; 16];
    hex::decode_to_slice(value.as_str()?, &mut id).ok()?;
    Some(id)
}

/// The first line.
pub(crate) fn head_line(
    client: ClientId,
    store: Option<[u8; 16]>,
    next: u64,
    transfers_below: u64,
) -> String {
    let store = match store {
        Some(store) => format!(",\"store\":\"{}\"", hex::encode(store)),
        None => String::new(),
    };
    format!(
        "{BEGINNING}{VERSION},\"client\":\"{}\"{store},\"next\":{next},\"transfers_below\":{transfers_below}}}\n",
        hex::encode(client.0),
    )
}

/// A request that is about to be sent.
pub(crate) fn request_line(number: u64, call: &KeptCall) -> String {
    let mut line =
        json!({"request": number, "op": call.op, "arguments": hex::encode(&call.arguments)});
    if let (Some(until_ms), Some(line)) = (call.until_ms, line.as_object_mut()) {
        line.insert("until_ms".to_owned(), until_ms.into());
    }
    format!("{line}\n")
}

/// One name and a number.
pub(crate) fn line(name: &str, number: u64) -> String {
    format!("{{\"{name}\":{number}}}\n")
}

/// A device was met.
pub(crate) fn store_line(store: [u8; 16]) -> String {
    format!("{{\"store\":\"{}\"}}\n", hex::encode(store))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pixelboy_protocol::ClientId;
    use serde_json::{Value as Json, json};

    use super::{Kept, KeptCall, Unreadable, head_line, line, read, request_line, store_line};

    /// What `clients/state-cases/*.json` say of the files beside them.
    fn told(read: &Result<Kept, Unreadable>) -> Json {
        match read {
            Err(Unreadable::Torn(_)) => json!("torn"),
            Err(Unreadable::Foreign) => json!("foreign"),
            Err(Unreadable::Newer(version)) => json!({"newer": version}),
            Ok(kept) => {
                let unanswered: Vec<Json> = kept
                    .unanswered
                    .iter()
                    .map(|(number, call)| {
                        let arguments = hex::encode(&call.arguments);
                        json!([number, call.op, arguments, call.until_ms])
                    })
                    .collect();
                json!({
                    "client": hex::encode(kept.client.0),
                    "store": kept.store.map(hex::encode),
                    "next": kept.next,
                    "transfers_below": kept.transfers_below,
                    "unanswered": unanswered,
                })
            }
        }
    }

    #[test]
    fn the_files_that_both_languages_read_say_the_same() {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/state-cases");
        let mut read_cases = 0;
        for entry in std::fs::read_dir(cases).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "state") {
                let expected = std::fs::read(path.with_extension("json")).unwrap();
                let expected: Json = serde_json::from_slice(&expected).unwrap();
                assert_eq!(
                    told(&read(&std::fs::read(&path).unwrap())),
                    expected,
                    "{path:?}"
                );
                read_cases += 1;
            }
        }
        assert!(read_cases >= 8, "{read_cases}");
    }

    #[test]
    fn what_is_written_is_read_wherever_a_crash_cuts_it() {
        let call = KeptCall {
            op: "ss".to_owned(),
            arguments: vec![1, 2, 255],
            until_ms: Some(7),
        };
        let head = head_line(ClientId([9; 16]), None, 1, 65);
        let text = [
            head.clone(),
            store_line([7; 16]),
            request_line(1, &call),
            request_line(
                2,
                &KeptCall {
                    until_ms: None,
                    ..call.clone()
                },
            ),
            line("answered", 1),
            line("next", 4),
            line("transfers_below", 129),
            line("given_up", 2),
        ]
        .concat();
        let kept = read(text.as_bytes()).unwrap();
        assert_eq!((kept.next, kept.transfers_below), (4, 129));
        assert_eq!(kept.store, Some([7; 16]));
        assert_eq!(kept.unanswered.len(), 1);
        assert_eq!(kept.unanswered[&2].until_ms, Some(0));
        for length in 0..text.len() {
            let cut = read(&text.as_bytes()[..length]);
            match length < head.len() {
                true => assert!(matches!(cut, Err(Unreadable::Torn(_))), "{length}"),
                false => assert!(cut.is_ok(), "{length}"),
            }
        }
    }
}
