//! The `#[plugin]` attribute of `pixelboy-plugin`: reads an `impl` block, writes the opcode table and the dispatch.
//! Invariant: every fact of the table stands once, in the signature or its doc comment.
//! Not here: types. Whether a type can be an argument, and whether a default fits it, the compiler says about what is
//! written, at the author's own line. What can't be read is a compile error there too.

mod handler;
mod literal;
mod parameter;
mod text;
mod write;

use proc_macro::TokenStream;
use syn::{ItemImpl, parse_macro_input};

/// Makes a plugin of an `impl` block. The type is declared here; don't declare it yourself.
///
/// The doc comment of the block says what the plugin is about. Functions with one of these attributes are handlers;
/// others are left alone:
///
/// - `#[op]`: an opcode with the function's name, or `#[op("an-other-name")]`.
/// - `#[timer] fn tick(id: String, payload: Vec<u8>)`: a timer that was set fires.
/// - `#[answer] fn answered(tag: String, answer: Answer)`: a client answered a call.
/// - `#[event("playback-ended")] fn ended(details: Map)`: an event of this kind, or of one of several, see below.
///
/// Each returns `Result<…>` of anything that can be a reply, and can take `call: &Call` first.
///
/// # Arguments of an opcode
/// `bool`, `i64` (or `i32 u8 u16 u32`), `f64`, `String`, `Vec<u8>`, `Data` (a handle to bytes that stay with the host,
/// the right thing for files), `Value` (any), `Vec<Value>`, `Map`; `Option` of one of them can be absent. On an argument:
///
/// - a doc comment;
/// - `#[default("a")]`: can be left out;
/// - `#[choices("a", "w")]`: the only values it takes;
/// - `#[range(0.0..=1.0)]`, `#[range(1..)]`, `#[range(..=9)]`: the range of a number.
///
/// The host checks all of that before the handler runs.
///
/// # Events
/// | kind | when | details |
/// |---|---|---|
/// | `started` | this version begins to serve | `reloaded`: whether one before it did |
/// | `client-joined`, `client-left` | a session begins or ends; grant `client` | `session`, `name` |
/// | `display-lost` | the panel takes no pictures; grant `display` | `reason` |
/// | `display-resized` | it takes pictures again, of this size; grant `display` | `width`, `height` |
/// | `screen-lost` | something else took the place of what this plugin showed; grant `display` | `kind`, `path`, `to`: the plugin |
/// | `playback-ended` | music is over, whoever played it; grant `audio` | `path`, `why`: `finished stopped replaced failed`, `position_ms`, `message` |
///
/// A plugin that falls behind loses some.
///
/// # Doc comment of an opcode
/// Its first line is the short form. A paragraph that begins with `Returns:` says what the reply holds.
#[proc_macro_attribute]
pub fn plugin(attributes: TokenStream, block: TokenStream) -> TokenStream {
    if !attributes.is_empty() {
        let attributes = proc_macro2::TokenStream::from(attributes);
        return syn::Error::new_spanned(attributes, "#[plugin] takes nothing")
            .into_compile_error()
            .into();
    }
    let mut block = parse_macro_input!(block as ItemImpl);
    write::plugin(&mut block)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
