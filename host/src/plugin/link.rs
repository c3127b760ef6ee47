//! Links a guest to the capabilities it was granted, and to nothing else.
//! Invariant: what is not granted is not in the linker; the reason why a guest does not link is said before trying.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker};

use super::contract::{self, pixelboy::plugin as interface};
use super::grants::{Grants, Import, NAMES};
use crate::capability::Guest;

/// Why a component can't be linked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// Interfaces that are in the contract but not in `allow`.
    #[error(
        "it imports {0}, which is not granted; to grant it, write in config.toml below [plugins.{1}]:\n\nallow = [{2}]\n"
    )]
    NotGranted(String, String, String),
    /// From a toolchain that assumes an operating system.
    #[error(
        "it imports {0} (WASI), which this host does not offer; build it for wasm32-unknown-unknown"
    )]
    Wasi(String),
    /// Built for something else, or for a newer contract.
    #[error(
        "it imports {0}, which the contract of this host (pixelboy:plugin@0.1.0) does not have"
    )]
    Unknown(String),
    /// wasmtime's reason.
    #[error("it does not fit the contract pixelboy:plugin@0.1.0: {0:#}")]
    Contract(wasmtime::Error),
}

/// Checks the imports and links. The interfaces that the guest uses come with it.
pub(crate) fn link(
    engine: &wasmtime::Engine,
    component: &Component,
    name: &str,
    grants: &Grants,
) -> Result<contract::PluginPre<Guest>, LinkError> {
    check(engine, component, name, grants)?;
    let mut linker = Linker::new(engine);
    add(&mut linker, grants).map_err(LinkError::Contract)?;
    let pre = linker
        .instantiate_pre(component)
        .map_err(LinkError::Contract)?;
    contract::PluginPre::new(pre).map_err(LinkError::Contract)
}

/// The grants that a component's imports need.
pub(crate) fn wanted(
    engine: &wasmtime::Engine,
    component: &Component,
) -> Result<Vec<String>, LinkError> {
    missing(engine, component, &Grants::default())
}

fn check(
    engine: &wasmtime::Engine,
    component: &Component,
    name: &str,
    grants: &Grants,
) -> Result<(), LinkError> {
    let missing = missing(engine, component, grants)?;
    if missing.is_empty() {
        return Ok(());
    }
    let allow: Vec<String> = NAMES
        .iter()
        .filter(|grant| grants.has(grant) || missing.iter().any(|name| name == *grant))
        .map(|grant| format!("\"{grant}\""))
        .collect();
    Err(LinkError::NotGranted(
        missing.join(", "),
        name.to_owned(),
        allow.join(", "),
    ))
}

/// Interfaces that are in the contract, imported, and not granted.
fn missing(
    engine: &wasmtime::Engine,
    component: &Component,
    grants: &Grants,
) -> Result<Vec<String>, LinkError> {
    let mut missing = Vec::new();
    for (import, item) in component.component_type().imports(engine) {
        // The world's own types are listed too; only interfaces bring functions.
        if !matches!(item.ty, ComponentItem::ComponentInstance(_)) {
            continue;
        }
        match grants.check(import) {
            Import::Granted => {}
            Import::NotGranted(interface) => missing.push(interface),
            Import::Wasi => return Err(LinkError::Wasi(import.to_owned())),
            Import::Unknown => return Err(LinkError::Unknown(import.to_owned())),
        }
    }
    Ok(missing)
}

/// The list of what there is to grant.
fn add(linker: &mut Linker<Guest>, grants: &Grants) -> wasmtime::Result<()> {
    type Own = HasSelf<Guest>;
    fn guest(guest: &mut Guest) -> &mut Guest {
        guest
    }
    interface::blob::add_to_linker::<_, Own>(linker, guest)?;
    interface::types::add_to_linker::<_, Own>(linker, guest)?;
    interface::calls::add_to_linker::<_, Own>(linker, guest)?;
    interface::log::add_to_linker::<_, Own>(linker, guest)?;
    if grants.has("store") {
        interface::store::add_to_linker::<_, Own>(linker, guest)?;
    }
    if grants.has("kv") {
        interface::kv::add_to_linker::<_, Own>(linker, guest)?;
    }
    if grants.has("probe") {
        interface::probe::add_to_linker::<_, Own>(linker, guest)?;
    }
    if grants.has("display") {
        interface::display::add_to_linker::<_, Own>(linker, guest)?;
    }
    if grants.has("audio") {
        interface::audio::add_to_linker::<_, Own>(linker, guest)?;
    }
    if grants.has("client") {
        interface::client::add_to_linker::<_, Own>(linker, guest)?;
    }
    if grants.has("timer") {
        interface::timer::add_to_linker::<_, Own>(linker, guest)?;
    }
    if grants.has("settings") {
        interface::settings::add_to_linker::<_, Own>(linker, guest)?;
    }
    Ok(())
}
