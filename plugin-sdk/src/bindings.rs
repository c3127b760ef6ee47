//! What wit-bindgen makes of `wit/plugin.wit`, fenced in here; nothing else in this crate is generated.
//! Not for plugin authors: every interface has a module of its own with the types of this crate.
//! Natively `native` stands in its place.
#![allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "generated code"
)]

wit_bindgen::generate!({
    path: "../wit",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "export",
    default_bindings_module: "pixelboy_plugin::bindings",
});
