//! What the device is doing when it happens.

use core::fmt;

use tokio::time::Duration;
use zmon_domain::ids::{DeviceId, Serial};
use zmon_station::ports::{CertificateState, StationStore};
use zmon_testkit::{DeviceProgram, PIN, TestStation};
use zmon_wire::control::{ControlAnswer, ControlRequest};
use zmon_wire::kind::True;
use zmon_wire::qr::QrContent;
use zmon_wire::secret::SecretText;

/// How long a renewal is waited for that may have been told of an error.
const RENEWAL: Duration = Duration::from_secs(5);

/// Something that a device goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// A window, a scan, a first configuration.
    Pairing,
    /// The same with a configuration in force.
    Reprovisioning,
    /// A new certificate over the old one.
    Renewal,
    /// The configuration is removed and the certificate told to be dead.
    Deprovisioning,
}

impl Flow {
    /// All of them.
    pub(crate) const ALL: [Self; 4] =
        [Self::Pairing, Self::Reprovisioning, Self::Renewal, Self::Deprovisioning];
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pairing => "pairing",
            Self::Reprovisioning => "reprovisioning",
            Self::Renewal => "renewal",
            Self::Deprovisioning => "deprovisioning",
        })
    }
}

/// The administrator's proof for a request.
pub(crate) fn administrator() -> (zmon_domain::ids::OperatorId, SecretText) {
    ("admin".parse().expect("an operator's name"), SecretText::new(PIN))
}

/// Goes through `flow` until it has ended well, badly or with the device. What is refused on the way is
/// no failure: the device may be gone, or have been told that its disk is.
pub(crate) async fn go(flow: Flow, station: &TestStation, device: &mut DeviceProgram) {
    match flow {
        Flow::Pairing | Flow::Reprovisioning => {
            let Some(qr) = window(flow, device).await else { return };
            tokio::select! {
                // Whatever the station answers, and whenever: the device shows what became of it.
                _ended = station.technician().try_pair(&qr) => {}
                () = ended(device) => {}
            }
        }
        Flow::Renewal => {
            let before = current(station).await;
            let (operator, pin) = administrator();
            if device.ask(&ControlRequest::Renew { operator, pin }).await.is_ok() {
                let over = async {
                    while !device.has_ended() && current(station).await == before {
                        pause().await;
                    }
                };
                // One that was told of an error comes back to it much later; the old one is in force.
                let _later = tokio::time::timeout(RENEWAL, over).await;
            }
        }
        Flow::Deprovisioning => {
            let (operator, pin) = administrator();
            // The statement may be on its way still; whoever looks waits for it.
            let _refused = device.ask(&ControlRequest::Deprovision { operator, pin }).await;
        }
    }
}

/// Opens a window; none when the device refuses or is gone.
async fn window(flow: Flow, device: &DeviceProgram) -> Option<QrContent> {
    let (operator, pin) = administrator();
    let (address, override_interlock) = (None, None);
    let enter = if flow == Flow::Reprovisioning {
        let confirm = True;
        ControlRequest::Reprovision { operator, pin, confirm, address, override_interlock }
    } else {
        ControlRequest::Enter { operator, pin, address, override_interlock }
    };
    device.ask(&enter).await.ok()?;
    match device.ask(&ControlRequest::Qr {}).await {
        Ok(ControlAnswer::Qr(qr)) => QrContent::parse(qr.content.expose().as_bytes()).ok(),
        Ok(_) | Err(_) => None,
    }
}

/// Until the process is gone.
async fn ended(device: &mut DeviceProgram) {
    while !device.has_ended() {
        pause().await;
    }
}

/// The serial numbers of the device's current certificates.
pub(crate) async fn current(station: &TestStation) -> Vec<Serial> {
    let state = CertificateState::Current;
    let store: &dyn StationStore = &**station.store();
    let rows = store.certificates_of_device(&device_id(), state).await;
    rows.expect("certificates are read").into_iter().map(|row| row.serial).collect()
}

/// The device.
pub(crate) fn device_id() -> DeviceId {
    DeviceId::parse("ZM-001").expect("a device id")
}

/// Between two questions to what has no events.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}
