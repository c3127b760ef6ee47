//! Brings the plugins in force in line with the files and config.toml.
//! Invariant: a swap is one atomic replacement of the table; what fails to load leaves what serves as it is.
//! Not here: when to look (`watch`).
//! A broken file or a clash: the reason is logged once, and told again when it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pixelboy_protocol::Value;
use tokio::sync::Notify;

use super::cache::{Cache, ContentDigest};
use super::engine::Engine;
use super::link::LinkError;
use super::seat::Seat;
use super::unserved::{NotEnabled, Reason, Refused, Unserved};
use super::version::{LoadError, MAX_FILE_MIB, Version};
use crate::capability::Services;
use crate::config::PluginSettings;
use crate::dispatch::board::{Board, Serving, Table};
use crate::dispatch::lane::{Lane, Lines};
use crate::dispatch::later::PutOff;

/// What the plugins are by name, in config.toml.
pub(crate) type Wanted = BTreeMap<String, PluginSettings>;

/// Loads, swaps and removes plugins.
pub(crate) struct Loader {
    engine: Arc<Engine>,
    cache: Cache,
    services: Arc<Services>,
    lines: Lines,
    put_off: Arc<PutOff>,
    folder: PathBuf,
    serving: BTreeMap<String, Serving>,
    /// What served before, for going back.
    before: BTreeMap<String, Serving>,
    trouble: Arc<Notify>,
    /// What was refused last, so that it is neither tried nor told again before it changes.
    refused: BTreeMap<String, Refusal>,
    /// Of them, those that only another plugin kept out.
    clashed: BTreeSet<String>,
    /// Files that are not named in config.toml and were told of.
    not_enabled: Vec<PathBuf>,
    unserved: Arc<Unserved>,
}

/// What was tried and not taken in.
struct Refusal {
    digest: Option<ContentDigest>,
    settings: PluginSettings,
    why: Reason,
}

impl Refusal {
    fn is_of(&self, digest: Option<ContentDigest>, settings: &PluginSettings) -> bool {
        self.digest == digest && self.settings == *settings
    }
}

/// What is to be done about one plugin.
enum Step {
    Keep,
    Serve(Box<Version>),
    Remove(&'static str),
    Refuse(Option<ContentDigest>, Reason),
}

impl Loader {
    /// Nothing is loaded yet.
    pub(crate) fn new(
        engine: Arc<Engine>,
        cache: Cache,
        services: Arc<Services>,
        lines: Lines,
        put_off: Arc<PutOff>,
        folder: PathBuf,
        unserved: Arc<Unserved>,
    ) -> Self {
        Self {
            engine,
            cache,
            services,
            lines,
            put_off,
            folder,
            serving: BTreeMap::new(),
            before: BTreeMap::new(),
            trouble: Arc::default(),
            refused: BTreeMap::new(),
            clashed: BTreeSet::new(),
            not_enabled: Vec::new(),
            unserved,
        }
    }

    /// Looks at every file and swaps what changed.
    pub(crate) async fn refresh(&mut self, named: &Wanted, board: &Board) {
        let enabled = named.iter().filter(|(_, settings)| settings.enabled);
        let wanted: Wanted = enabled
            .map(|(name, settings)| (name.clone(), settings.clone()))
            .collect();
        let gone: Vec<String> = self
            .serving
            .keys()
            .filter(|name| !wanted.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            let why = match named.contains_key(&name) {
                true => "config.toml disables it",
                false => "config.toml no longer names it",
            };
            self.remove(&name, why, board).await;
        }
        self.refused.retain(|name, _| wanted.contains_key(name));
        // A swap may let one in that was kept out before it, so once more where that may be.
        for _ in 0..2 {
            self.go_through(&wanted, board).await;
        }
        let lying = self.lying(named);
        self.tell_not_enabled(&lying, named);
        self.publish(lying);
    }

    /// Leaves for `status` what does not serve.
    fn publish(&self, not_enabled: Vec<NotEnabled>) {
        let refused = self.refused.iter().map(|(name, refusal)| Refused {
            name: name.clone(),
            file: refusal.settings.file.clone(),
            digest: refusal.digest,
            allow: refusal.settings.allow.clone(),
            why: refusal.why.clone(),
        });
        self.unserved.found(refused.collect(), not_enabled);
    }

    async fn go_through(&mut self, wanted: &Wanted, board: &Board) {
        for (name, settings) in wanted {
            match self.step(name, settings).await {
                Step::Keep => {}
                Step::Serve(version) => self.serve(name, *version, board).await,
                Step::Remove(why) => self.remove(name, why, board).await,
                Step::Refuse(digest, why) => self.refuse(name, settings, digest, why),
            }
        }
    }

    async fn step(&self, name: &str, settings: &PluginSettings) -> Step {
        let file = self.folder.join(&settings.file);
        let bytes = match read(&file) {
            Ok(bytes) => bytes,
            Err(LoadError::Read(_, error)) if error.kind() == std::io::ErrorKind::NotFound => {
                if self.serving.contains_key(name) {
                    return Step::Remove("its file was deleted");
                }
                let why = format!(
                    "there is no {}; build it, or remove [plugins.{name}]",
                    file.display()
                );
                return Step::Refuse(None, why.into());
            }
            Err(error) => return Step::Refuse(None, reason(&error)),
        };
        let digest = ContentDigest::of(&bytes);
        let known = self.serving.get(name);
        if known
            .is_some_and(|now| now.version.digest == digest && now.version.settings == *settings)
        {
            return Step::Keep;
        }
        let refused = self.refused.get(name);
        if refused.is_some_and(|refusal| refusal.is_of(Some(digest), settings)) {
            return Step::Keep;
        }
        match Version::load(
            &self.engine,
            &self.cache,
            &self.services,
            name,
            &bytes,
            settings,
            &self.trouble,
        )
        .await
        {
            Ok(version) => Step::Serve(Box::new(version)),
            Err(error) => Step::Refuse(Some(digest), reason(&error)),
        }
    }

    async fn serve(&mut self, name: &str, version: Version, board: &Board) {
        let before = self.serving.get(name).cloned();
        let (digest, settings) = (version.digest, version.settings.clone());
        let seat = before
            .as_ref()
            .map_or_else(|| Arc::new(Seat::new(name.into())), |now| now.seat.clone());
        let lane = before
            .as_ref()
            .map_or_else(|| Lane::new(self.lines.clone()), |now| now.lane.clone());
        let ops: Vec<&str> = version
            .manifest
            .rows
            .iter()
            .map(|row| row.op.as_str())
            .collect();
        let (ops, number) = (ops.join(" "), version.manifest.version.clone());
        self.serving.insert(
            name.to_owned(),
            Serving {
                seat,
                version: Arc::new(version),
                lane,
            },
        );
        match Table::new(self.serving.values()) {
            Ok(table) => {
                board.replace(table);
                self.refused.remove(name);
                self.forget_clashes();
                tracing::info!(plugin = name, version = %number, %ops, "plugin loaded");
                self.tell_started(name, before.is_some());
                if let Some(before) = before {
                    before.seat.retire(before.version.serial).await;
                    self.before.insert(name.to_owned(), before);
                }
            }
            Err(clash) => {
                match before {
                    Some(before) => self.serving.insert(name.to_owned(), before),
                    None => self.serving.remove(name),
                };
                self.refuse(name, &settings, Some(digest), clash.to_string().into());
                self.clashed.insert(name.to_owned());
            }
        }
    }

    /// A version serves from now on.
    fn tell_started(&self, name: &str, reloaded: bool) {
        let details = [("reloaded", Value::Bool(reloaded))];
        let errands = &self.services.errands;
        errands.event(Some(name.into()), "started", details);
        self.services.timers.wake(name);
    }

    /// Waits until a version turns out to be of no use.
    pub(crate) fn trouble(&self) -> Arc<Notify> {
        self.trouble.clone()
    }

    /// Goes back to the version before where a new one only crashes. Its file is not tried again before it changes.
    pub(crate) async fn roll_back(&mut self, board: &Board) {
        let hopeless = |name: &String| {
            self.serving
                .get(name)
                .is_some_and(|now| now.version.health.is_hopeless())
        };
        let names: Vec<String> = self
            .before
            .keys()
            .filter(|name| hopeless(name))
            .cloned()
            .collect();
        for name in names {
            let Some(before) = self.before.remove(&name) else {
                continue;
            };
            let Some(failed) = self.serving.insert(name.clone(), before) else {
                continue;
            };
            match Table::new(self.serving.values()) {
                Ok(table) => {
                    board.replace(table);
                    let why = "it crashed in every call";
                    tracing::warn!(plugin = %name, why, "plugin rolled back to the version before");
                    self.tell_started(&name, true);
                    let (digest, settings) =
                        (Some(failed.version.digest), failed.version.settings.clone());
                    let why = why.to_owned().into();
                    let refusal = Refusal {
                        digest,
                        settings,
                        why,
                    };
                    self.refused.insert(name, refusal);
                    failed.seat.retire(failed.version.serial).await;
                }
                Err(clash) => {
                    tracing::warn!(plugin = %name, %clash, "plugin could not be rolled back");
                    self.serving.insert(name, failed);
                }
            }
        }
    }

    /// The table is another one: what clashed with the one before is tried again.
    fn forget_clashes(&mut self) {
        for name in std::mem::take(&mut self.clashed) {
            self.refused.remove(&name);
        }
    }

    async fn remove(&mut self, name: &str, why: &str, board: &Board) {
        self.refused.remove(name);
        self.before.remove(name);
        let Some(gone) = self.serving.remove(name) else {
            return;
        };
        match Table::new(self.serving.values()) {
            Ok(table) => {
                board.replace(table);
                self.forget_clashes();
            }
            // Less can't clash.
            Err(clash) => tracing::error!(%clash, "the opcode table could not be made"),
        }
        tracing::info!(plugin = name, why, "plugin removed");
        // Waits for what runs, which may put one more off.
        gone.seat.retire(gone.version.serial).await;
        self.put_off.interrupt(name);
        self.services.timers.forget(name);
    }

    fn refuse(
        &mut self,
        name: &str,
        settings: &PluginSettings,
        digest: Option<ContentDigest>,
        why: Reason,
    ) {
        let before = self.refused.get(name);
        if before.is_some_and(|refusal| refusal.is_of(digest, settings)) {
            return;
        }
        match self.serving.get(name) {
            Some(now) => {
                let version = &now.version.manifest.version;
                tracing::warn!(plugin = name, why = %why.text, %version, "plugin not taken in; the version before it serves on");
            }
            None => tracing::warn!(plugin = name, why = %why.text, "plugin not taken in"),
        }
        let refusal = Refusal {
            digest,
            settings: settings.clone(),
            why,
        };
        self.refused.insert(name.to_owned(), refusal);
    }

    /// The files in the folder that are not named, and those that are named and not enabled.
    fn lying(&self, named: &Wanted) -> Vec<NotEnabled> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            tracing::warn!(folder = %self.folder.display(), "there is no plugins folder; create it, or set --plugins");
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| PathBuf::from(entry.file_name()))
            .filter(|file| file.extension().is_some_and(|ending| ending == "wasm"))
            .filter(|file| !named.values().any(|plugin| plugin.file == *file))
            .collect();
        files.sort();
        let unnamed = files.into_iter().map(|file| {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            // A plugin of this name may have another file.
            let name = match named.contains_key(&*stem) {
                true => file.to_string_lossy().into_owned(),
                false => stem.into_owned(),
            };
            NotEnabled { name, file }
        });
        let disabled = named.iter().filter(|(_, settings)| !settings.enabled);
        let disabled = disabled.map(|(name, settings)| NotEnabled {
            name: name.clone(),
            file: settings.file.clone(),
        });
        disabled.chain(unnamed).collect()
    }

    /// Says once what a file that lies there would need.
    fn tell_not_enabled(&mut self, lying: &[NotEnabled], named: &Wanted) {
        let unnamed = lying.iter().filter(|one| !named.contains_key(&one.name));
        let new = unnamed.filter(|one| !self.not_enabled.contains(&one.file));
        for NotEnabled { name, file } in new {
            tracing::info!(
                "plugin {} not enabled; to enable it: pixelboy plugin enable {name} --allow …, or add to config.toml:\n\n[plugins.{name}]\nfile = \"{}\"\nallow = []\n",
                file.display(),
                file.display()
            );
        }
        self.not_enabled = lying.iter().map(|one| one.file.clone()).collect();
    }
}

fn reason(error: &LoadError) -> Reason {
    Reason {
        text: error.to_string(),
        wants_grant: matches!(error, LoadError::Link(LinkError::NotGranted(..))),
    }
}

/// The bytes of a plugin's file.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, LoadError> {
    let failed = |error| LoadError::Read(file.to_owned(), error);
    let bytes = std::fs::metadata(file).map_err(failed)?.len();
    if bytes > MAX_FILE_MIB << 20 {
        return Err(LoadError::TooLarge(bytes >> 20, MAX_FILE_MIB));
    }
    std::fs::read(file).map_err(failed)
}
