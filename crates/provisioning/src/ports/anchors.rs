//! Where the anchors of a device are kept (D8).

use async_trait::async_trait;
use zmon_crypto::Anchor;
use zmon_domain::error::ErrorReport;

/// The anchors on disk: a store of their own, beside the database.
///
/// **An anchor that is kept and was not asked for** is an authority over the device. **One that is not
/// kept** although this said so is forgotten with the next start, and nobody knows why the station is
/// refused.
#[async_trait]
pub trait AnchorStore: Send + Sync {
    /// Keeps one more, with its site; durable when this returns, and whole or not there at all after a
    /// power cut.
    async fn add(&self, anchor: &Anchor) -> Result<(), ErrorReport>;
}
