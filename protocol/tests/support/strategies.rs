//! Random values and frames, within the limits.

use pixelboy_protocol::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

pub(crate) fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..12).prop_map(String::from_iter)
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
        text().prop_map(Value::Text),
        vec(any::<u8>(), 0..24).prop_map(Value::Bytes),
        any::<u64>().prop_map(Value::Upload),
        (
            any::<u64>(),
            any::<u64>(),
            of(any::<[u8; 32]>()),
            any::<u8>()
        )
            .prop_map(|(id, length, sha256, form)| Value::Blob(Blob {
                id,
                length,
                sha256,
                form
            })),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::List),
            vec(inner, 0..12).prop_map(|values| {
                let named = values.into_iter().enumerate();
                Value::Map(
                    named
                        .map(|(index, value)| (format!("k{index}"), value))
                        .collect(),
                )
            }),
        ]
    })
}

fn values() -> impl Strategy<Value = Vec<Value>> {
    vec(value(), 0..4)
}

fn named() -> impl Strategy<Value = Vec<(String, Value)>> {
    vec((text(), value()), 0..3)
}

fn code() -> impl Strategy<Value = Code> {
    prop::sample::select(Code::ALL)
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        values().prop_map(Outcome::Done),
        (code(), text(), vec((text(), text()), 0..4)).prop_map(|(code, message, details)| {
            Outcome::Failed(Failure {
                code,
                message,
                details,
            })
        }),
    ]
}

fn state() -> impl Strategy<Value = OpenState> {
    prop_oneof![
        any::<(u64, u64)>().prop_map(|(offset, limit)| OpenState::At { offset, limit }),
        Just(OpenState::Complete),
        any::<u64>().prop_map(|number| OpenState::Consumed { number }),
    ]
}

fn rising() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::btree_set(any::<u64>(), 0..20).prop_map(Vec::from_iter)
}

/// Every kind, by its number; the test that uses it counts that none is left out.
pub(crate) fn frame() -> impl Strategy<Value = Frame<'static>> {
    let digest = any::<[u8; 16]>;
    let sha256 = any::<[u8; 32]>;
    let number = any::<u64>;
    let first = prop_oneof![
        (
            any::<(u16, u16)>(),
            digest(),
            text(),
            of(digest()),
            number(),
            number()
        )
            .prop_map(
                |(
                    (min_version, max_version),
                    client,
                    name,
                    last_store,
                    lowest_unconfirmed,
                    flags,
                )| {
                    let client = ClientId(client);
                    Frame::Hello(Hello {
                        min_version,
                        max_version,
                        client,
                        name,
                        last_store,
                        lowest_unconfirmed,
                        flags,
                    })
                }
            ),
        (
            any::<(u16, [u8; 16], bool, u64, u64)>(),
            vec(any::<(u8, u64)>(), 0..16),
            digest(),
            text()
        )
            .prop_map(
                |(
                    (version, store, resumed, executed_through, received_through),
                    limits,
                    table,
                    host,
                )| {
                    Frame::Welcome(Welcome {
                        version,
                        store,
                        resumed,
                        executed_through,
                        received_through,
                        limits,
                        table,
                        host,
                    })
                }
            ),
        (text(), vec(any::<u8>(), 0..40))
            .prop_map(|(method, data)| Challenge { method, data }.into()),
        (text(), vec(any::<u8>(), 0..40)).prop_map(|(method, data)| Auth { method, data }.into()),
        (code(), text()).prop_map(|(code, message)| Close { code, message }.into()),
        Just(Goodbye {}.into()),
        number().prop_map(|token| Ping { token }.into()),
        number().prop_map(|token| Pong { token }.into()),
    ];
    let requests = prop_oneof![
        (number(), number(), of(number()), text(), values(), named()).prop_map(
            |(number, confirmed, deadline_ms, op, args, kwargs)| {
                Frame::Request(Request {
                    number,
                    confirmed,
                    deadline_ms,
                    op,
                    args,
                    kwargs,
                })
            }
        ),
        (number(), of(number()), any::<bool>(), outcome()).prop_map(
            |(number, stored, recorded, outcome)| Reply {
                number,
                stored,
                recorded,
                outcome
            }
            .into()
        ),
        (number(), rising()).prop_map(|(through, also)| Confirm { through, also }.into()),
        number().prop_map(|number| Cancel { number }.into()),
        number().prop_map(|idle_ms| TimeOut { idle_ms }.into()),
        (text(), values()).prop_map(|(op, args)| Push { op, args }.into()),
        (text(), any::<bool>()).prop_map(|(op, bound)| Bind { op, bound }.into()),
        (number(), text(), values(), named(), of(number())).prop_map(
            |(number, op, args, kwargs, deadline_ms)| {
                Frame::Call(Call {
                    number,
                    op,
                    args,
                    kwargs,
                    deadline_ms,
                })
            }
        ),
        (number(), outcome()).prop_map(|(number, outcome)| CallReply { number, outcome }.into()),
        number().prop_map(|number| CallCancel { number }.into()),
    ];
    let transfers = prop_oneof![
        number().prop_map(|through| CallCredit { through }.into()),
        (number(), of(number()), of(sha256()), any::<u8>()).prop_map(
            |(transfer, length, sha256, mode)| OpenUpload {
                transfer,
                length,
                sha256,
                mode
            }
            .into()
        ),
        any::<(u64, u64, u64, u64)>().prop_map(|(transfer, blob, offset, limit)| OpenDownload {
            transfer,
            blob,
            offset,
            limit
        }
        .into()),
        (number(), state(), of(number()), of(sha256())).prop_map(
            |(transfer, state, length, sha256)| Opened {
                transfer,
                state,
                length,
                sha256
            }
            .into()
        ),
        any::<(u64, u64)>().prop_map(|(transfer, limit)| Credit { transfer, limit }.into()),
        // Leaked: a frame borrows its chunk, and tests are short.
        (number(), number(), vec(any::<u8>(), 0..600))
            .prop_map(|(transfer, offset, chunk)| Data::new(transfer, offset, chunk.leak()).into()),
        any::<(u64, u64, [u8; 32])>().prop_map(|(transfer, length, sha256)| Finish {
            transfer,
            length,
            sha256
        }
        .into()),
    ];
    let last = prop_oneof![
        (number(), sha256()).prop_map(|(transfer, sha256)| Finished { transfer, sha256 }.into()),
        any::<(u64, u64)>().prop_map(|(transfer, offset)| Durable { transfer, offset }.into()),
        (number(), code(), text()).prop_map(|(transfer, code, message)| Abort {
            transfer,
            code,
            message
        }
        .into()),
        Just(GetTable {}.into()),
        (digest(), any::<(u32, u32)>(), values()).prop_map(|(digest, (total, first), ops)| {
            Frame::Table(Table {
                digest,
                total,
                first,
                ops,
            })
        }),
        digest().prop_map(|digest| TableChanged { digest }.into()),
    ];
    prop_oneof![first, requests, transfers, last]
}
