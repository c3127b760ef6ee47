//! `call`: an opcode by its exact name, also where a word of this program has the same.

use clap::Args;
use pixelboy_client::protocol::{ArgEntry, ArgKind, OpEntry};

use super::{say, with_client};
use crate::line::Settings;
use crate::trouble::Trouble;
use crate::words::Arguments;

/// Call an opcode by its exact name, without any convenience
#[derive(Args, Debug)]
pub(crate) struct Call {
    /// The opcode
    op: String,
    /// Its arguments by position
    #[arg(allow_negative_numbers = true)]
    args: Vec<String>,
    /// An argument by its name; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = named)]
    kw: Vec<(String, String)>,
}

impl Call {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        let reply = with_client(settings, async |client| {
            let table = client.table().await?;
            let unknown = unknown(&self.op, self.args.len());
            let (entry, args) = match table.find(&self.op) {
                Some(entry) => (entry, Arguments::raw(entry, &self.args, &self.kw)?),
                // The device says it in its own words.
                None => (&unknown, Arguments::raw(&unknown, &self.args, &[])?),
            };
            let (args, kwargs) = args.send(client, settings.json).await?;
            Ok(client.call(&entry.op, args, kwargs, None).await?)
        })
        .await?;
        say(settings, &reply)
    }
}

/// An entry that takes anything.
fn unknown(op: &str, args: usize) -> OpEntry {
    OpEntry {
        op: op.to_owned(),
        plugin: String::new(),
        doc: String::new(),
        args: (0..args)
            .map(|index| ArgEntry::new(&format!("arg{index}"), ArgKind::Any, ""))
            .collect(),
        returns: String::new(),
    }
}

fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, such as mode=w".to_owned()),
    }
}
