//! The machines of the ward: the real service and the real use-cases between simulated ports.

mod device;
mod dialer;
mod issuer;
mod keys;
mod lan;
mod link;
mod listener;
mod pki;
mod station;

pub(crate) use device::{Device, DeviceNode};
pub(crate) use lan::{Lan, Running};
pub(crate) use pki::Pki;
pub(crate) use station::StationNode;

use zmon_domain::ids::OperatorId;
use zmon_domain::role::{OperatorProof, Role, danger};
use zmon_domain::time::Tick;

/// Somebody who has logged in, or has given a PIN: passwords are not simulated.
#[expect(clippy::disallowed_methods, reason = "a ward has people of its own")]
pub(crate) fn proof(id: &str, role: Role, until: Tick) -> Option<OperatorProof> {
    let id = OperatorId::parse(id).ok()?;
    Some(danger::authenticated(id, role, until))
}
