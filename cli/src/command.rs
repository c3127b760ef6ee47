//! The words, one file each, and what they share: a client for one line.
//! Invariant: a client says goodbye also where its command failed, so that the device forgets it at once.

pub(crate) mod call;
pub(crate) mod completions;
pub(crate) mod files;
pub(crate) mod get;
pub(crate) mod help;
pub(crate) mod ls;
pub(crate) mod opcode;
pub(crate) mod ops;
pub(crate) mod ping;
pub(crate) mod play;
pub(crate) mod plugin;
pub(crate) mod show;
pub(crate) mod sound;
pub(crate) mod status;
pub(crate) mod store;

use std::path::Path;
use std::time::Duration;

use clap::CommandFactory as _;
use pixelboy_client::{Client, Code, Error, Options, Reply, Value};

use crate::json;
use crate::line::{Line, Settings, Word};
use crate::output;
use crate::said;
use crate::trouble::{self, Trouble};

/// How long the device may take to let a client go.
const LEAVING: Duration = Duration::from_secs(1);

/// Does what the line says.
pub(crate) async fn run(line: Line) -> Result<(), Trouble> {
    let settings = line.settings;
    let Some(word) = line.word else {
        let help = Line::command().render_help().to_string();
        return Err(Trouble::Usage(format!(
            "a word is missing\n\n{}",
            help.trim_end()
        )));
    };
    match word {
        Word::Play(word) => word.run(&settings).await,
        Word::Show(word) => word.run(&settings).await,
        Word::Store(word) => word.run(&settings).await,
        Word::Pause(word) => word.run(&settings).await,
        Word::Resume(word) => word.run(&settings).await,
        Word::Stop(word) => word.run(&settings).await,
        Word::Quiet(word) => word.run(&settings).await,
        Word::Volume(word) => word.run(&settings).await,
        Word::Ls(word) => word.run(&settings).await,
        Word::Get(word) => word.run(&settings).await,
        Word::Del(word) => word.run(&settings).await,
        Word::Stat(word) => word.run(&settings).await,
        Word::Status(word) => word.run(&settings).await,
        Word::Ops(word) => word.run(&settings).await,
        Word::Call(word) => word.run(&settings).await,
        Word::Ping(word) => word.run(&settings).await,
        Word::Plugin(word) => word.run(&settings).await,
        Word::Completions(word) => word.run(),
        Word::Help(word) => word.run(&settings).await,
        Word::Opcode(words) => opcode::run(words, settings).await,
    }
}

/// How this line's client presents itself.
pub(crate) fn options(settings: &Settings) -> Options {
    let defaults = Options::default();
    Options {
        name: "pixelboy".to_owned(),
        state: settings.state.clone(),
        connect_timeout: settings.timeout.unwrap_or(defaults.connect_timeout),
        deadline: settings.timeout.unwrap_or(defaults.deadline),
    }
}

/// Connects, does the work, and leaves.
pub(crate) async fn with_client<T>(
    settings: &Settings,
    work: impl AsyncFnOnce(&Client) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let client = Client::connect(&settings.host, options(settings)).await?;
    let done = match tell_of_earlier_lines(&client).await {
        Ok(()) => work(&client).await,
        Err(trouble) => Err(trouble),
    };
    // The work is done; a device that takes its time to let go changes nothing about it.
    let _ = tokio::time::timeout(LEAVING, client.close()).await;
    done
}

/// With a state file: what became of calls that an earlier line sent and did not hear of.
async fn tell_of_earlier_lines(client: &Client) -> Result<(), Trouble> {
    if let Some(notice) = client.notice() {
        output::to_stderr(&format!("pixelboy: {notice}"))?;
    }
    for pending in client.carried_over() {
        let op = pending.op().to_owned();
        let said = match pending.await {
            Ok(reply) => said::of_reply(&reply),
            Err(error) => trouble::of_error(&error),
        };
        output::to_stderr(&format!("pixelboy: {op} of an earlier line: {said}"))?;
    }
    Ok(())
}

/// Calls an opcode and says what it answered.
pub(crate) async fn call_and_say(
    settings: &Settings,
    op: &str,
    args: Vec<Value>,
) -> Result<(), Trouble> {
    let reply = with_client(settings, async |client| {
        Ok(client.call(op, args, [], None).await?)
    })
    .await?;
    say(settings, &reply)
}

/// A reply to standard output.
pub(crate) fn say(settings: &Settings, reply: &Reply) -> Result<(), Trouble> {
    let text = match settings.json {
        true => json::of_reply(reply).to_string(),
        false => said::of_reply(reply),
    };
    Ok(output::line(&text)?)
}

/// The device speaks of opcodes; where a word of this program was typed, it is told in such words.
pub(crate) fn in_own_words(trouble: Trouble, word: &str, wants: &str, name: &str) -> Trouble {
    let Trouble::Device(Error::Failed(mut failure)) = trouble else {
        return trouble;
    };
    let kind = failure
        .details
        .iter()
        .find(|(name, _)| name == "kind")
        .map(|(_, kind)| kind.as_str());
    let (what, advice) = match (failure.code, kind) {
        (Code::UnsupportedMedia, Some("audio")) => ("sound", format!("pixelboy play {name}")),
        (Code::UnsupportedMedia, Some("image")) => ("a picture", format!("pixelboy show {name}")),
        (Code::UnsupportedMedia, Some("animation")) => {
            ("an animation", format!("pixelboy show {name}"))
        }
        (Code::UnsupportedMedia, Some("text")) => ("text", format!("pixelboy get {name} -o -")),
        _ => return Trouble::Device(Error::Failed(failure)),
    };
    failure.message = format!("{word} is for {wants}, {name} is {what}; try: {advice}");
    Trouble::Device(Error::Failed(failure))
}

/// Where the device has no such file but this computer does, that is what the person means.
pub(crate) fn hint_at_local_file(trouble: Trouble, name: &str) -> Trouble {
    match trouble {
        Trouble::Device(Error::Failed(failure))
            if failure.code == Code::NotFound && Path::new(name).is_file() =>
        {
            let advice =
                format!("there is a file {name} on this computer; first: pixelboy store {name}");
            Trouble::Advised(Error::Failed(failure), advice)
        }
        other => other,
    }
}
