//! Frames and values as the JSON of `vectors/README.md`.

use pixelboy_protocol::{Blob, Frame, OpenState, Outcome, Value};
use serde_json::{Value as Json, json};

use crate::sections::unhex;

pub(crate) fn hex(bytes: &[u8]) -> Json {
    json!({ "hex": hex::encode(bytes) })
}

/// Writes out the repetitions that the files use for long bytes and lists.
pub(crate) fn expand(json: Json) -> Json {
    match json {
        Json::Object(map) if map.len() == 1 && map.contains_key("hex") => {
            hex(&unhex(map["hex"].as_str().expect("hex is text")))
        }
        Json::Object(map) if map.len() == 1 && map.contains_key("repeat") => {
            let times = map["repeat"][1].as_u64().expect("times is a number");
            Json::Array(vec![expand(map["repeat"][0].clone()); times as usize])
        }
        Json::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, expand(value)))
            .collect(),
        Json::Array(list) => list.into_iter().map(expand).collect(),
        other => other,
    }
}

pub(crate) fn value(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) if value.is_nan() => json!({"float": "nan"}),
        Value::Float(value) if value.is_infinite() => {
            json!({"float": if *value > 0.0 { "inf" } else { "-inf" }})
        }
        Value::Float(value) => json!(value),
        Value::Text(value) => json!(value),
        Value::Bytes(value) => hex(value),
        Value::List(list) => values(list),
        Value::Map(entries) => json!({ "map": pairs(entries) }),
        Value::Upload(transfer) => json!({ "upload": transfer }),
        Value::Blob(Blob {
            id,
            length,
            sha256,
            form,
        }) => {
            json!({"blob": {"id": id, "length": length, "sha256": sha256.as_ref().map(|sha256| hex(sha256)), "form": form}})
        }
    }
}

pub(crate) fn to_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => match number.as_i64() {
            Some(int) => int.into(),
            None => number.as_f64().expect("a float").into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(list) => Value::List(list.iter().map(to_value).collect()),
        Json::Object(map) => {
            let (key, inner) = map.iter().next().expect("one key");
            match key.as_str() {
                "float" => inner
                    .as_str()
                    .expect("text")
                    .parse::<f64>()
                    .expect("a float")
                    .into(),
                "hex" => unhex(inner.as_str().expect("text")).into(),
                "map" => Value::Map(to_pairs(inner)),
                "upload" => Value::Upload(inner.as_u64().expect("a number")),
                "blob" => Value::Blob(Blob {
                    id: inner["id"].as_u64().expect("id"),
                    length: inner["length"].as_u64().expect("length"),
                    sha256: inner["sha256"]["hex"]
                        .as_str()
                        .map(|hex| unhex(hex).try_into().expect("32 bytes")),
                    form: inner["form"].as_u64().expect("form") as u8,
                }),
                other => panic!("unknown value {other}"),
            }
        }
    }
}

pub(crate) fn to_pairs(json: &Json) -> Vec<(String, Value)> {
    let pair = |pair: &Json| {
        (
            pair[0].as_str().expect("a name").to_owned(),
            to_value(&pair[1]),
        )
    };
    json.as_array().expect("pairs").iter().map(pair).collect()
}

pub(crate) fn values(list: &[Value]) -> Json {
    list.iter().map(value).collect()
}

fn pairs(entries: &[(String, Value)]) -> Json {
    entries
        .iter()
        .map(|(key, inner)| json!([key, value(inner)]))
        .collect()
}

fn outcome(outcome: &Outcome) -> Json {
    match outcome {
        Outcome::Done(list) => json!({ "done": values(list) }),
        Outcome::Failed(failure) => json!({"failed": {
            "code": failure.code.name(), "message": failure.message, "details": failure.details,
        }}),
    }
}

fn digest(sha256: Option<&[u8; 32]>) -> Json {
    sha256.map_or(Json::Null, |sha256| hex(sha256))
}

pub(crate) fn frame(frame: &Frame<'_>) -> Json {
    match frame {
        Frame::Hello(it) => json!({
            "min_version": it.min_version, "max_version": it.max_version, "client": hex(&it.client.0), "name": it.name,
            "last_store": it.last_store.map(|store| hex(&store)), "lowest_unconfirmed": it.lowest_unconfirmed,
            "flags": it.flags,
        }),
        Frame::Welcome(it) => json!({
            "version": it.version, "store": hex(&it.store), "resumed": it.resumed,
            "executed_through": it.executed_through, "received_through": it.received_through,
            "limits": it.limits, "table": hex(&it.table), "host": it.host,
        }),
        Frame::Challenge(it) => json!({"method": it.method, "data": hex(&it.data)}),
        Frame::Auth(it) => json!({"method": it.method, "data": hex(&it.data)}),
        Frame::Close(it) => json!({"code": it.code.name(), "message": it.message}),
        Frame::Goodbye(_) | Frame::GetTable(_) => json!({}),
        Frame::Ping(it) => json!({"token": it.token}),
        Frame::Pong(it) => json!({"token": it.token}),
        Frame::Request(it) => json!({
            "number": it.number, "confirmed": it.confirmed, "deadline_ms": it.deadline_ms, "op": it.op,
            "args": values(&it.args), "kwargs": pairs(&it.kwargs),
        }),
        Frame::Reply(it) => json!({
            "number": it.number, "stored": it.stored, "recorded": it.recorded, "outcome": outcome(&it.outcome),
        }),
        Frame::Confirm(it) => json!({"through": it.through, "also": it.also}),
        Frame::Cancel(it) => json!({"number": it.number}),
        Frame::TimeOut(it) => json!({"idle_ms": it.idle_ms}),
        Frame::Push(it) => json!({"op": it.op, "args": values(&it.args)}),
        Frame::Bind(it) => json!({"op": it.op, "bound": it.bound}),
        Frame::Call(it) => json!({
            "number": it.number, "op": it.op, "args": values(&it.args), "kwargs": pairs(&it.kwargs),
            "deadline_ms": it.deadline_ms,
        }),
        Frame::CallReply(it) => json!({"number": it.number, "outcome": outcome(&it.outcome)}),
        Frame::CallCancel(it) => json!({"number": it.number}),
        Frame::CallCredit(it) => json!({"through": it.through}),
        Frame::OpenUpload(it) => json!({
            "transfer": it.transfer, "length": it.length, "sha256": digest(it.sha256.as_ref()), "mode": it.mode,
        }),
        Frame::OpenDownload(it) => json!({
            "transfer": it.transfer, "blob": it.blob, "offset": it.offset, "limit": it.limit,
        }),
        Frame::Opened(it) => json!({
            "transfer": it.transfer,
            "state": match it.state {
                OpenState::At { offset, limit } => json!({"at": {"offset": offset, "limit": limit}}),
                OpenState::Complete => json!("complete"),
                OpenState::Consumed { number } => json!({"consumed": {"number": number}}),
            },
            "length": it.length, "sha256": digest(it.sha256.as_ref()),
        }),
        Frame::Credit(it) => json!({"transfer": it.transfer, "limit": it.limit}),
        Frame::Data(it) => json!({
            "transfer": it.transfer, "offset": it.offset, "crc32c": it.crc32c, "chunk": hex(it.chunk),
        }),
        Frame::Finish(it) => {
            json!({"transfer": it.transfer, "length": it.length, "sha256": hex(&it.sha256)})
        }
        Frame::Finished(it) => json!({"transfer": it.transfer, "sha256": hex(&it.sha256)}),
        Frame::Durable(it) => json!({"transfer": it.transfer, "offset": it.offset}),
        Frame::Abort(it) => {
            json!({"transfer": it.transfer, "code": it.code.name(), "message": it.message})
        }
        Frame::Table(it) => json!({
            "digest": hex(&it.digest), "total": it.total, "first": it.first, "ops": values(&it.ops),
        }),
        Frame::TableChanged(it) => json!({"digest": hex(&it.digest)}),
    }
}
