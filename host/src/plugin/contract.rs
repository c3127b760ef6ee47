//! The generated side of `wit/plugin.wit`, fenced in here.
//! Invariant: nothing outside `plugin` and `capability` names a generated type.
//! Not here: what a function does (`capability`).

#![allow(
    missing_docs,
    reason = "generated from wit/plugin.wit, which has the docs"
)]
#![allow(clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "plugin",
    imports: {
        "pixelboy:plugin/blob.[method]data.read": async | trappable,
        "pixelboy:plugin/blob.[method]data.sha256": async | trappable,
        "pixelboy:plugin/blob.[method]data.is-text": async | trappable,
        "pixelboy:plugin/probe.probe": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "pixelboy:plugin/blob.data": crate::capability::blob::Data,
        "pixelboy:plugin/calls.call": crate::capability::call::Call,
        "pixelboy:plugin/calls.manifest": crate::plugin::manifest::Draft,
        "pixelboy:plugin/calls.opcode": crate::plugin::manifest::DraftRow,
        "pixelboy:plugin/store.file": crate::capability::store::OpenFile,
        "pixelboy:plugin/store.writer": crate::capability::store::Writer,
        "pixelboy:plugin/probe.media": crate::capability::probe::Media,
        "pixelboy:plugin/display.animation": crate::capability::display::Animation,
        "pixelboy:plugin/audio.playback": crate::capability::audio::Playback,
    },
});
