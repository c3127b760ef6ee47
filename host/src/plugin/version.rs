//! One loaded version of a plugin: linked code, manifest, limits.
//! Invariant: exists only when it linked, answered `describe` and its manifest was accepted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::cache::{Cache, ContentDigest};
use super::compile::CompileError;
use super::contract::PluginPre;
use super::engine::Engine;
use super::grants::{Grants, UnknownGrant};
use super::health::Health;
use super::instance::{Fault, Instance};
use super::link::{self, LinkError};
use super::manifest::{BadManifest, Manifest};
use crate::capability::errand::EVENTS;
use crate::capability::log::pace::Pace;
use crate::capability::{Guest, Identity, Services};
use crate::config::{Limits, PluginSettings};

/// A version that can serve.
pub(crate) struct Version {
    /// Tells versions apart in one run of the host.
    pub(crate) serial: u64,
    pub(crate) digest: ContentDigest,
    pub(crate) manifest: Manifest,
    /// What it was loaded with; a change in config.toml makes a new version.
    pub(crate) settings: PluginSettings,
    engine: Arc<Engine>,
    pre: PluginPre<Guest>,
    identity: Arc<Identity>,
    services: Arc<Services>,
    limits: Limits,
    /// Made before the swap, so that the first call need not.
    spare: Mutex<Option<Instance>>,
    pub(crate) health: Health,
    /// Tells the loader that this version is of no use.
    trouble: Arc<Notify>,
}

/// Why a file does not become a version.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The file.
    #[error("failed to read {0}: {1}")]
    Read(std::path::PathBuf, std::io::Error),
    /// Larger than any plugin should be.
    #[error("the file has {0} MiB, at most {1} MiB are allowed; build it in release mode")]
    TooLarge(u64, u64),
    /// It does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It does not link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It did not come up.
    #[error("it does not start: {0}")]
    Start(Fault),
    /// It did not describe itself.
    #[error("its `describe` failed: {0}")]
    Describe(Fault),
    /// It described itself wrongly.
    #[error(transparent)]
    Manifest(#[from] BadManifest),
    /// Its table in config.toml is wrong.
    #[error(transparent)]
    Grant(#[from] UnknownGrant),
}

/// A plugin file may have this many MiB.
pub(crate) const MAX_FILE_MIB: u64 = 64;

static SERIAL: AtomicU64 = AtomicU64::new(1);

impl Version {
    /// Compiles, links, starts and describes the file's bytes.
    pub(crate) async fn load(
        engine: &Arc<Engine>,
        cache: &Cache,
        services: &Arc<Services>,
        name: &str,
        bytes: &[u8],
        settings: &PluginSettings,
        trouble: &Arc<Notify>,
    ) -> Result<Self, LoadError> {
        let grants = Grants::new(&settings.allow)?;
        let (component, _) = cache.component(&engine.wasmtime, bytes).await?;
        let pre = link::link(&engine.wasmtime, &component, name, &grants)?;
        let identity = Arc::new(Identity {
            name: name.into(),
            settings: settings.settings.clone(),
            pace: Pace::default(),
        });
        let limits = settings.limits.clone();
        let new = || Instance::new(engine, &pre, identity.clone(), services.clone(), &limits);
        let mut first = new().await.map_err(LoadError::Start)?;
        let manifest = first
            .describe(engine)
            .await
            .map_err(LoadError::Describe)?
            .finish(name)?;
        drop(first);
        let spare = Mutex::new(Some(new().await.map_err(LoadError::Start)?));
        Ok(Self {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            digest: ContentDigest::of(bytes),
            manifest,
            settings: settings.clone(),
            engine: engine.clone(),
            pre,
            identity,
            services: services.clone(),
            limits,
            spare,
            health: Health::default(),
            trouble: trouble.clone(),
        })
    }

    /// A guest for the next call.
    pub(crate) async fn instance(&self) -> Result<Instance, Fault> {
        let spare = self
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match spare {
            Some(instance) => Ok(instance),
            None => {
                let services = self.services.clone();
                Instance::new(
                    &self.engine,
                    &self.pre,
                    self.identity.clone(),
                    services,
                    &self.limits,
                )
                .await
            }
        }
    }

    /// Bytes of the guest that waits for the first call.
    pub(crate) fn spare_bytes(&self) -> u64 {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.as_ref().map_or(0, Instance::memory_bytes)
    }

    /// Whether another plugin may change what it changes: files are shared, the rest is its own.
    pub(crate) fn can_conflict(&self) -> bool {
        self.settings.allow.iter().any(|grant| grant == "store")
    }

    /// Whether its guests can see what is shown and played.
    pub(crate) fn sees_device(&self) -> bool {
        self.settings
            .allow
            .iter()
            .any(|grant| grant == "audio" || grant == "display")
    }

    /// Whether it can stage effects.
    pub(crate) fn has_effects(&self) -> bool {
        self.sees_device() || self.settings.allow.iter().any(|grant| grant == "client")
    }

    /// Whether it is to be told of events of this kind: it asked for them and has the grant.
    pub(crate) fn listens(&self, kind: &str) -> bool {
        let granted = |grant: &str| self.settings.allow.iter().any(|own| own == grant);
        let event = EVENTS.iter().find(|(name, _)| *name == kind);
        let may = event.is_some_and(|(_, grant)| grant.is_none_or(granted));
        may && self.manifest.events.contains(&kind)
    }

    /// An operation crashed.
    pub(crate) fn note_crash(&self) {
        let now = Instant::now();
        self.health.crashed(now);
        if let Some(out) = self.health.out(now) {
            let (plugin, crashes) = (&*self.identity.name, self.health.crashes());
            tracing::warn!(
                plugin,
                crashes,
                ?out,
                "a plugin that crashes again and again gets no calls for now"
            );
        }
        if self.health.is_hopeless() {
            self.trouble.notify_one();
        }
    }

    /// Operations of different clients that may wait for it.
    pub(crate) fn queue_limit(&self) -> usize {
        self.limits.queue as usize
    }

    /// The engine it runs on.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How long one operation may take by the clock, host functions included.
    pub(crate) fn wall_limit(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.limits.wall_ms)
    }
}
