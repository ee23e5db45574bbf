//! Backups of the store, on the relay's own disk.

use serde_json::json;

use super::{Answer, Api, Asker, require_admin};
use crate::admin::problem::Problem;
use crate::clock::unix_ms;
use crate::registry::NewEvent;

impl Api {
    /// Writes a backup and tells where it is.
    pub(super) async fn back_up(&self, asker: &Asker) -> Result<Answer, Problem> {
        require_admin(asker)?;
        let now_ms = unix_ms();
        let backup = self.timed(self.registry.back_up(now_ms)).await?;
        tracing::info!(path = %backup.path.display(), bytes = backup.bytes, "store backed up");
        let name = backup.path.file_name().map(|name| name.to_string_lossy().into_owned());
        self.timed(self.registry.note(NewEvent {
            action: "store.backed_up",
            workspace: None,
            detail: json!({ "file": name }),
            by: asker.actor(),
            at_ms: now_ms,
        }))
        .await?;
        let path = std::path::absolute(&backup.path).unwrap_or(backup.path);
        Ok(Answer::created(json!({
            "file": name,
            "path": path.to_string_lossy(),
            "bytes": backup.bytes,
        })))
    }
}
