//! `get`: a stored file, to a file here or to standard output.
//! Invariant: no half file appears under the asked name, and no file here is replaced without `-o`.

use std::path::{Path, PathBuf};

use clap::Args;
use pixelboy_client::{Blob, Client, Code, Download, Error, Reply, Source, Value};
use serde_json::json;

use super::with_client;
use crate::json::hex;
use crate::line::Settings;
use crate::output;
use crate::progress::Progress;
use crate::said::bytes;
use crate::trouble::Trouble;

/// Fetch a stored file
///
/// What was fetched is checked against the device's SHA-256. A fetch that broke off leaves NAME.part, from which the next one
/// goes on.
#[derive(Args, Debug)]
pub(crate) struct Get {
    /// The file's path on the device
    name: String,
    /// Where it goes, a file or a folder; - for standard output [default: its own name, in this folder, if there is none of that name]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Get {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        let to_stdout = self.output.as_deref() == Some(Path::new("-"));
        let target = match &self.output {
            Some(folder) if folder.is_dir() => folder.join(own_name(&self.name)?),
            Some(target) => target.clone(),
            None => free_here(own_name(&self.name)?)?,
        };
        let (length, sha256) = with_client(settings, async |client| {
            let reply = client
                .call("get", [self.name.as_str().into()], [], None)
                .await?;
            let sha256 = sha256(&reply);
            let mut progress = Progress::new(&self.name, settings.json);
            let length = match reply.values.into_iter().next().unwrap_or_default() {
                Value::Blob(blob) => {
                    let target = (!to_stdout).then_some(target.as_path());
                    fetch(client, &self.name, blob, target, &mut progress).await?;
                    blob.length
                }
                Value::Bytes(bytes) => whole(bytes, sha256.as_deref(), &target, to_stdout)?,
                Value::Text(text) => {
                    whole(text.into_bytes(), sha256.as_deref(), &target, to_stdout)?
                }
                other => {
                    let what = format!("{} in place of a file", other.type_name());
                    return Err(Trouble::Device(Error::Protocol {
                        address: client.address().clone(),
                        what,
                    }));
                }
            };
            Ok((length, sha256))
        })
        .await?;
        let target = target.display().to_string();
        match (to_stdout, settings.json) {
            (true, _) => Ok(()),
            (false, true) => {
                let saved = json!({"op": "get", "saved": target, "size": length, "sha256": sha256});
                Ok(output::line(&saved.to_string())?)
            }
            (false, false) => Ok(output::line(&format!(
                "saved {target} ({})",
                bytes(length)
            ))?),
        }
    }
}

/// All bytes to a file, or to standard output. Where the device does not hold them any more, as after a restart, it is asked again,
/// and the same bytes go on.
async fn fetch(
    client: &Client,
    name: &str,
    blob: Blob,
    target: Option<&Path>,
    progress: &mut Progress,
) -> Result<(), Trouble> {
    let mut download = client.download(blob);
    let mut position = None;
    loop {
        let fetched = match target {
            Some(target) => {
                let mut update = |done, total| progress.update(done, total);
                let fresh = client.download(download.blob());
                fresh.save(target, &mut update).await.map_err(Trouble::from)
            }
            None => to_stdout(&mut download, progress).await,
        };
        let gone = match fetched {
            Err(Trouble::Device(Error::Failed(failure))) if failure.code == Code::BlobGone => {
                failure
            }
            other => return other,
        };
        let reply = client.call("get", [name.into()], [], None).await?;
        let goes_on = match reply.value() {
            Value::Blob(blob) => download.goes_on_with(*blob),
            _ => false,
        };
        // Gone again without a byte in between: asking once more would not end.
        if !goes_on || position == Some(progress.done()) {
            return Err(Error::Failed(gone).into());
        }
        position = Some(progress.done());
    }
}

async fn to_stdout(download: &mut Download<'_>, progress: &mut Progress) -> Result<(), Trouble> {
    while let Some(chunk) = download.chunk().await? {
        write(&chunk)?;
        progress.update(download.position(), download.length());
    }
    Ok(())
}

fn own_name(name: &str) -> Result<PathBuf, Trouble> {
    let own = name.rsplit('/').next().unwrap_or_default();
    if own.is_empty() || own == "." || own == ".." || own.contains(['\\', '\0']) {
        return Err(Trouble::Usage(format!(
            "{name} gives no name for a file here; say one with -o FILE"
        )));
    }
    Ok(PathBuf::from(own))
}

/// A name under which there is nothing in this folder.
fn free_here(own: PathBuf) -> Result<PathBuf, Trouble> {
    if own.symlink_metadata().is_ok() {
        return Err(Trouble::Usage(format!(
            "there is a file {} here already; -o {} replaces it",
            own.display(),
            own.display()
        )));
    }
    Ok(own)
}

fn sha256(reply: &Reply) -> Option<String> {
    match reply.get("sha256")? {
        Value::Bytes(digest) => Some(hex(digest)),
        other => other.as_text().map(str::to_owned),
    }
}

fn write(bytes: &[u8]) -> Result<u64, Trouble> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(bytes.len() as u64)
}

/// Few bytes that came with the reply.
fn whole(
    bytes: Vec<u8>,
    announced: Option<&str>,
    target: &Path,
    to_stdout: bool,
) -> Result<u64, Trouble> {
    let source = Source::bytes(bytes.as_slice());
    if announced.is_some_and(|announced| {
        source
            .sha256()
            .map_or(true, |sha256| hex(&sha256) != announced)
    }) {
        return Err(Error::Mismatch.into());
    }
    match to_stdout {
        true => write(&bytes),
        false => save(target, &bytes),
    }
}

fn save(target: &Path, bytes: &[u8]) -> Result<u64, Trouble> {
    use std::io::Write as _;
    let mut part = target.as_os_str().to_owned();
    part.push(".part");
    let saved = std::fs::File::create(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    saved
        .and_then(|()| std::fs::rename(&part, target))
        .map_err(|error| Error::file(target.display().to_string(), &error))?;
    Ok(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::own_name;

    #[test]
    fn a_name_of_the_device_never_leaves_this_folder() {
        assert_eq!(
            own_name("no-such/deep/cat-of-a-test.png").unwrap().to_str(),
            Some("cat-of-a-test.png")
        );
        for name in ["", "a/", "..", "a/..", ".", "a\\b"] {
            assert!(own_name(name).is_err(), "{name}");
        }
    }
}
