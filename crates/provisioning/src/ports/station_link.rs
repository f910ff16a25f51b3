//! Calls from the device to its station.

use async_trait::async_trait;
use zmon_protocol::PullMethod;
use zmon_protocol::device::{LinkCredentials, LinkError, Pulled, Retirement};
use zmon_wire::heartbeat::{Heartbeat, HeartbeatAnswer};
use zmon_wire::outcome::CommitRequest;
use zmon_wire::pull::FetchRequest;

/// Calls over mTLS with the credentials of one slot; the server is checked against the slot's CA
/// *and* its pin, without session resumption (D17).
///
/// **A false `Ok`** from [`test`](Self::test) commits the device to a station it cannot reach.
/// **The wrong [`LinkError`] variant** matters: `Network` may pass and is tried three times in all;
/// `Refused` and `Certificate` are final. Each call bounds its own time (connect 2 s) and can be
/// dropped at any point; none retries by itself.
#[async_trait]
pub trait StationLink: Send + Sync {
    /// `GET /api/device/test`: the full chain both ways, nothing changed.
    async fn test(&self, credentials: &LinkCredentials) -> Result<(), LinkError>;

    /// `POST /api/device/commit`: the answer is the exact `zp-outcome` JWS.
    async fn commit(
        &self,
        credentials: &LinkCredentials,
        request: &CommitRequest,
    ) -> Result<Vec<u8>, LinkError>;

    /// `POST /api/provisioning/outcome` with a `zp-ask` JWS: the answer is the exact `zp-outcome`
    /// JWS (D13).
    async fn ask_outcome(
        &self,
        credentials: &LinkCredentials,
        ask: &str,
    ) -> Result<Vec<u8>, LinkError>;

    /// `POST /api/device/renew` with a `zp-pull` JWS over the slot's certificate, or for a recovery
    /// `POST /api/provisioning/recover` without one: the station's hello and the secret beside it
    /// (D23).
    async fn pull(
        &self,
        credentials: &LinkCredentials,
        method: PullMethod,
        pull: &str,
    ) -> Result<Pulled, LinkError>;

    /// Sends the identity document that answers the hello; the answer is the exact envelope.
    async fn fetch(
        &self,
        credentials: &LinkCredentials,
        method: PullMethod,
        request: &FetchRequest,
    ) -> Result<Vec<u8>, LinkError>;

    /// `POST /api/provisioning/retire` with a `zp-retire` JWS, without a client certificate (D21).
    async fn retire(&self, retirement: &Retirement) -> Result<(), LinkError>;

    /// `POST /api/device/heartbeat`, on a kept connection where there is one.
    async fn heartbeat(
        &self,
        credentials: &LinkCredentials,
        heartbeat: &Heartbeat,
    ) -> Result<HeartbeatAnswer, LinkError>;
}
