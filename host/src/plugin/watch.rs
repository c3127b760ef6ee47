//! Notices changed plugins and settings.
//! Invariant: looks only after things have been quiet for a moment, so that a half-copied file is not taken for a whole one.
//! Not here: what follows from a change (`loader`).
//! Where the system can't watch files: a warning; changes need a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Quiet for this long: whoever writes is done, or writes in bursts.
const QUIET: Duration = Duration::from_millis(100);

/// Look after this long even if it never becomes quiet.
const PATIENCE: Duration = Duration::from_secs(2);

/// Watches as long as it lives.
pub(crate) struct Watch {
    changed: Arc<Notify>,
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Of the `.wasm` files in a folder and of one settings file.
    pub(crate) fn start(plugins: &Path, config: &Path) -> Self {
        let changed = Arc::new(Notify::new());
        let watcher = watch(plugins, config, changed.clone())
            .inspect_err(|error| {
                tracing::warn!(%error, "changes of plugins and settings are not noticed; restart after a change");
            })
            .ok();
        Self {
            changed,
            _watcher: watcher,
        }
    }

    /// Waits for a change and then for quiet.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
        let quiet = async {
            while tokio::time::timeout(QUIET, self.changed.notified())
                .await
                .is_ok()
            {}
        };
        let _ = tokio::time::timeout(PATIENCE, quiet).await;
    }
}

fn watch(
    plugins: &Path,
    config: &Path,
    changed: Arc<Notify>,
) -> notify::Result<RecommendedWatcher> {
    let settings = config.file_name().map(PathBuf::from).unwrap_or_default();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let matters = match event {
            Ok(event) if event.kind.is_access() => false,
            Ok(event) => event.paths.iter().any(|path| {
                path.extension().is_some_and(|ending| ending == "wasm")
                    || path
                        .file_name()
                        .is_some_and(|name| name == settings.as_os_str())
            }),
            // Events were lost: look.
            Err(_) => true,
        };
        if matters {
            changed.notify_one();
        }
    })?;
    // Editors replace files: the folder is watched, not the file.
    let folder = match config.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    if plugins.exists() {
        watcher.watch(plugins, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}
