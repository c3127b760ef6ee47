//! A stage for guests: a host in memory, with a fixed clock and fake media, that remembers what a guest asked for.
//! Deliberately not a host: no transaction, no limits, no checks of arguments. What it is asked for is in `Stage::asked`.

mod imports;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker, Resource, ResourceTable};
use wasmtime::{Engine, Store};

use contract::Plugin;
pub use contract::pixelboy::plugin::types::{Failure, Node, Outcome, Values};

/// Generated from the contract.
mod contract {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "plugin",
        with: {
            "pixelboy:plugin/blob.data": crate::stage::Bytes,
            "pixelboy:plugin/calls.call": crate::stage::Call,
            "pixelboy:plugin/calls.manifest": crate::stage::Manifest,
            "pixelboy:plugin/calls.opcode": crate::stage::Opcode,
            "pixelboy:plugin/store.file": crate::stage::File,
            "pixelboy:plugin/store.writer": crate::stage::Bytes,
            "pixelboy:plugin/probe.media": crate::stage::Media,
            "pixelboy:plugin/display.animation": crate::stage::Animation,
            "pixelboy:plugin/audio.playback": crate::stage::Playback,
        },
    });
}

pub struct Bytes(pub Vec<u8>);
pub struct Call;
pub struct Manifest;
pub struct Opcode;
#[derive(Clone)]
pub struct File {
    pub bytes: Vec<u8>,
    pub kind: String,
    pub properties: Vec<(String, String)>,
}
/// The words of a fake file: `image/png 64 32 1`, `animation/gif 64 32 12 900`, `audio/mp3 44100 2 3000`.
pub struct Media(pub Vec<String>);
pub struct Animation(pub Vec<String>);
pub struct Playback;

/// What a guest sees, and what it did.
#[derive(Default)]
pub struct Stage {
    table: ResourceTable,
    pub files: BTreeMap<String, File>,
    pub kv: BTreeMap<String, Vec<u8>>,
    /// Path of what plays.
    pub playing: Option<String>,
    /// Every line that `describe` wrote.
    pub manifest: Vec<String>,
    /// Everything that was staged, a line each.
    pub asked: Vec<String>,
    pub log: Vec<String>,
}

/// A guest on its stage.
pub struct Guest {
    pub imports: Vec<String>,
    plugin: Plugin,
    store: Store<Stage>,
}

/// An argument.
pub enum Arg<'a> {
    Value(Node),
    Data(&'a [u8]),
}

pub fn text(text: &str) -> Arg<'static> {
    Arg::Value(Node::Text(text.to_owned()))
}

pub fn int(int: i64) -> Arg<'static> {
    Arg::Value(Node::Int(int))
}

pub fn float(float: f64) -> Arg<'static> {
    Arg::Value(Node::Float(float))
}

pub fn boolean(boolean: bool) -> Arg<'static> {
    Arg::Value(Node::Boolean(boolean))
}

pub fn null() -> Arg<'static> {
    Arg::Value(Node::Null)
}

/// Builds a crate of this repository as a user does; what cargo leaves is completed to a component.
fn build(folder: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let out =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.wasm", folder.replace('/', "-")));
    let built = Command::new(root.join("tools/wasm"))
        .arg("build")
        .arg(root.join(folder))
        .arg(&out)
        .status()
        .unwrap();
    assert!(built.success(), "{folder} was not built");
    let module = std::fs::read(out).unwrap();
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .unwrap()
        .encode()
        .unwrap()
}

impl Guest {
    /// Builds and loads the plugin in a folder, with everything granted, and lets it describe itself.
    pub fn of(folder: &str) -> Self {
        static ENGINE: OnceLock<Engine> = OnceLock::new();
        let engine = ENGINE.get_or_init(Engine::default);
        let component = Component::from_binary(engine, &build(folder)).unwrap();
        let imports = component
            .component_type()
            .imports(engine)
            // The types that the world itself names are listed too.
            .filter(|(_, item)| {
                !matches!(item.ty, ComponentItem::Type(_) | ComponentItem::Resource(_))
            })
            .map(|(name, _)| name.to_owned())
            .collect();
        let mut linker = Linker::new(engine);
        Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |stage: &mut Stage| stage).unwrap();
        let mut store = Store::new(engine, Stage::default());
        let plugin = Plugin::instantiate(&mut store, &component, &linker).unwrap();
        let manifest = store.data_mut().table.push(Manifest).unwrap();
        plugin.call_describe(&mut store, manifest).unwrap();
        Self {
            imports,
            plugin,
            store,
        }
    }

    pub fn stage(&mut self) -> &mut Stage {
        self.store.data_mut()
    }

    /// The interfaces it imports, without what every guest has.
    pub fn needs(&self) -> Vec<&str> {
        let names = self.imports.iter().map(|it| {
            let rest = it
                .strip_prefix("pixelboy:plugin/")
                .unwrap_or_else(|| panic!("a foreign import: {it}"));
            rest.split('@').next().unwrap()
        });
        names
            .filter(|it| !["blob", "calls", "log", "types"].contains(it))
            .collect()
    }

    /// An operation; the reply as text, or `code: message`.
    pub fn call<'a>(
        &mut self,
        op: &str,
        args: impl IntoIterator<Item = Arg<'a>>,
    ) -> Result<String, String> {
        let mut nodes = Vec::new();
        for arg in args {
            nodes.push(match arg {
                Arg::Value(node) => node,
                Arg::Data(bytes) => {
                    Node::Data(self.stage().table.push(Bytes(bytes.to_vec())).unwrap())
                }
            });
        }
        let roots = (0..u32::try_from(nodes.len()).unwrap()).collect();
        self.handle(op, Values { nodes, roots }).unwrap()
    }

    /// An operation whose values are already flat; `Err` on a trap.
    pub fn handle(&mut self, op: &str, args: Values) -> wasmtime::Result<Result<String, String>> {
        let call = self.stage().table.push(Call)?;
        let outcome = self.plugin.call_handle(&mut self.store, call, op, &args)?;
        Ok(match outcome {
            Ok(Outcome::Done(values)) => Ok(self.stage().shown(&values)),
            Ok(Outcome::Later(token)) => Ok(format!("later {token}")),
            Err(Failure {
                code,
                message,
                details,
            }) if details.is_empty() => Err(format!("{code}: {message}")),
            Err(Failure {
                code,
                message,
                details,
            }) => Err(format!("{code}: {message} {details:?}")),
        })
    }
}

impl Stage {
    /// Values as text.
    fn shown(&self, values: &Values) -> String {
        let roots: Vec<String> = values
            .roots
            .iter()
            .map(|&root| self.node(values, root))
            .collect();
        roots.join(", ")
    }

    fn node(&self, values: &Values, index: u32) -> String {
        match &values.nodes[index as usize] {
            Node::Null => "null".into(),
            Node::Boolean(it) => it.to_string(),
            Node::Int(it) => it.to_string(),
            Node::Float(it) => format!("{it:?}"),
            Node::Text(it) => format!("{it:?}"),
            Node::Bytes(it) => format!("bytes {it:?}"),
            Node::Data(it) => format!("data {:?}", String::from_utf8_lossy(&self.bytes(it))),
            Node::List(items) => {
                let items: Vec<String> =
                    items.iter().map(|&item| self.node(values, item)).collect();
                format!("[{}]", items.join(", "))
            }
            Node::Map(entries) => {
                let entries: Vec<String> = entries
                    .iter()
                    .map(|(name, item)| format!("{name}: {}", self.node(values, *item)))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }

    fn bytes(&self, handle: &Resource<Bytes>) -> Vec<u8> {
        let handle = Resource::<Bytes>::new_borrow(handle.rep());
        self.table.get(&handle).unwrap().0.clone()
    }

    pub fn file(&mut self, path: &str, kind: &str, bytes: &[u8], properties: &[(&str, &str)]) {
        let properties = properties
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        self.files.insert(
            path.to_owned(),
            File {
                bytes: bytes.to_vec(),
                kind: kind.to_owned(),
                properties,
            },
        );
    }
}
