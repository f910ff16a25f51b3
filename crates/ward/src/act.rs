//! Carrying out one step. People do not wait for one another: what takes time goes on beside the run.

use core::num::NonZeroU16;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use zmon_crypto::token::PairingToken;
use zmon_domain::error::ErrorReport;
use zmon_domain::role::{OperatorProof, Role};
use zmon_domain::state::ProvisioningState;
use zmon_domain::time::Tick;
use zmon_provisioning::{CentralStationProvisioningService, IProvisioningService};
use zmon_station::ports::RevocationReason;
use zmon_station::{PairOutcome, Station, StationError};
use zmon_wire::pair::{PairRequest, ScanRequest};
use zmon_wire::qr::QrContent;

use crate::node::{Running, proof};
use crate::step::{DEVICES, Node, Step, Way};
use crate::watch::Watch;
use crate::world::World;

type Service = Arc<CentralStationProvisioningService>;

impl World {
    /// Carries out a step.
    pub(crate) async fn act(&mut self, step: Step) {
        self.watch().note(&format!("step {step:?}"));
        match step {
            Step::Open(device) => self.at_device(device, "open", open),
            Step::Exit(device) => self.at_device(device, "exit", |service, proof| async move {
                service.exit_provisioning_mode(Some(&proof)).await
            }),
            Step::Regenerate(device) => {
                self.at_device(device, "regenerate", |service, proof| async move {
                    service.regenerate(Some(&proof)).await.map(drop)
                });
            }
            Step::Reset(device) => self.at_device(device, "reset", |service, proof| async move {
                service.reset(proof).await
            }),
            Step::Renew(device) => self.at_device(device, "renew", |service, proof| async move {
                service.renew_certificate(proof).await
            }),
            Step::Deprovision(device) => {
                self.at_device(device, "deprovision", |service, proof| async move {
                    service.deprovision_device(proof).await
                });
            }
            Step::FactoryReset(device) => {
                self.at_device(device, "factory reset", |service, proof| async move {
                    let name = service.device_id().to_string();
                    service.factory_reset(proof, &name).await
                });
            }
            Step::Patient(device, objects) => {
                if let Some(device) = self.device(device) {
                    device.patient.store(objects, Ordering::Relaxed);
                }
            }
            Step::Scan(device) => self.scan(device),
            Step::Pair(device, way) => self.pair(device, way),
            Step::Cancel(device) => self.cancel(device),
            Step::Revoke(device, nth) => self.revoke(device, nth),
            Step::Decommission(device) => self.decommission(device),
            Step::Crash(node) => self.crash(node),
            Step::Trap(Node::Station, nth, instant) => self.station.disk.trap(nth, instant),
            Step::Trap(Node::Device(device), nth, instant) => {
                if let Some(device) = self.device(device) {
                    device.disk.trap(nth, instant);
                }
            }
            Step::Stop(node) => self.stop(node).await,
            Step::Start => self.start().await,
            Step::Wear(node, wear) => self.wear(node, wear),
            Step::Line(device, line) => self.lan.net.set(device, |old| *old = line),
            Step::Clock(node, offset, quality) => self.set_clock(node, offset, quality),
            Step::Nap(minutes) => {
                tokio::time::advance(Duration::from_secs(u64::from(minutes) * 60)).await;
            }
            Step::Replay(device, bent) => self.replay(device, bent),
            Step::Swap(count) => self.lan.tape.swap_next(count),
            Step::Rogue(device) => self.rogue_pairs(device),
            Step::Thief => self.thief(),
        }
    }

    /// Somebody does something at a device that runs.
    fn at_device<F>(
        &self,
        index: usize,
        what: &'static str,
        act: impl FnOnce(Service, OperatorProof) -> F,
    ) where
        F: Future<Output = Result<(), ErrorReport>> + Send + 'static,
    {
        let Some(device) = self.device(index).and_then(|device| device.running()) else { return };
        let Some(proof) = device.proof(Role::Administrator) else { return };
        let (watch, work) = (self.watch().clone(), act(device.service, proof));
        drop(tokio::spawn(async move {
            let answer = work.await.err().map_or("done", |report| report.code.as_str());
            watch.note(&format!("device {index} {what}: {answer}"));
        }));
    }

    /// What the screen of a device shows.
    pub(crate) fn screen(&self, index: usize) -> Option<QrContent> {
        let device = self.device(index)?.running()?;
        let view = device.service.view().borrow().clone();
        let content = view.pairing?.qr?.content;
        QrContent::parse(content.as_bytes()).ok()
    }

    fn photograph(&mut self, index: usize) -> Option<QrContent> {
        let screen = self.screen(index)?;
        self.album.push(screen.clone());
        Some(screen)
    }

    fn scan(&mut self, index: usize) {
        let (Some(running), Some(screen)) = (self.station.running(), self.photograph(index)) else {
            return;
        };
        let request = ScanRequest {
            device_id: screen.device_id,
            device_serial: Some(screen.device_serial),
            ip_address: Some(screen.ip_address),
            pairing_code: screen.pairing_code,
            pairing_token: Some(screen.pairing_token),
            port: None,
            expires_at: None,
            firmware_version: None,
            delivery: None,
        };
        at_station(
            &running,
            self.watch(),
            format!("scan of {index}"),
            |station, tess| async move { station.scan(&tess, request).await.map(drop) },
        );
    }

    fn pair(&mut self, index: usize, way: Way) {
        let Some(running) = self.station.running() else { return };
        let screen = self.photograph(index);
        let screen = match way {
            Way::Photo => self.album.get(self.chance.index(self.album.len())).cloned(),
            Way::Scanned | Way::Typed | Way::Crossed => screen,
        };
        let Some(mut request) = screen.and_then(|screen| request(&screen, way)) else { return };
        if way == Way::Crossed
            && let Some(other) = self.device((index + 1) % DEVICES)
        {
            (request.device_id, request.device_serial) = (other.id.clone(), None);
        }
        let what = format!("pairing of {index} {way:?}");
        at_station(&running, self.watch(), what, |station, tess| pairing(station, tess, request));
    }

    fn rogue_pairs(&mut self, index: usize) {
        let (Some(running), Some(screen)) = (self.rogue.running(), self.photograph(index)) else {
            return;
        };
        let Some(request) = request(&screen, Way::Scanned) else { return };
        self.watch().count(|counts| counts.attacks += 1);
        let what = format!("rogue pairing of {index}");
        at_station(&running, self.watch(), what, |station, tess| pairing(station, tess, request));
    }

    fn cancel(&self, index: usize) {
        let (Some(running), Some(device)) = (self.station.running(), self.device(index)) else {
            return;
        };
        let tables = self.station.disk.stable();
        let Some(session) = tables.reservation(&device.id).map(|row| row.id) else { return };
        let what = format!("cancel of {index}");
        at_station(&running, self.watch(), what, move |station, tess| async move {
            station.cancel(&tess, &session).await
        });
    }

    fn revoke(&self, index: usize, nth: u8) {
        let (Some(running), Some(device)) = (self.station.running(), self.device(index)) else {
            return;
        };
        let tables = self.station.disk.stable();
        let mut rows: Vec<_> = tables.of_device(&device.id).collect();
        rows.sort_by_key(|row| core::cmp::Reverse(row.config_version));
        let Some(serial) = rows.get(usize::from(nth)).map(|row| row.serial) else { return };
        let watch = self.watch().clone();
        let what = format!("revocation at {index}");
        at_station(&running, self.watch(), what, move |station, ada| async move {
            let reason = RevocationReason::Administrator;
            station.revoke(&ada, &serial, reason).await?;
            watch.told_revoked(serial);
            Ok(())
        });
    }

    fn decommission(&self, index: usize) {
        let (Some(running), Some(device)) = (self.station.running(), self.device(index)) else {
            return;
        };
        let (id, what) = (device.id.clone(), format!("end of {index}"));
        at_station(&running, self.watch(), what, |station, ada| async move {
            station.decommission(&ada, &id).await
        });
    }
}

/// Opens a window the way the state wants it.
pub(crate) async fn open(service: Service, proof: OperatorProof) -> Result<(), ErrorReport> {
    match service.state() {
        ProvisioningState::Provisioned => service.reprovision_device(proof).await,
        ProvisioningState::Error => service.retry(proof).await,
        _ => service.enter_provisioning_mode(proof).await,
    }
}

/// What a tablet sends of a screen.
pub(crate) fn request(screen: &QrContent, way: Way) -> Option<PairRequest> {
    let token = PairingToken::parse_base64url(screen.pairing_token.expose()).ok()?;
    let typed = way == Way::Typed;
    Some(PairRequest {
        device_id: screen.device_id.clone(),
        pairing_code: screen.pairing_code.clone(),
        pairing_token: (!typed).then(|| screen.pairing_token.clone()),
        session_id: None,
        device_serial: (!typed).then(|| screen.device_serial.clone()),
        ip_address: Some(screen.ip_address),
        port: if typed { NonZeroU16::new(token.port()) } else { None },
        bed_id: None,
        device_label: None,
        delivery: None,
    })
}

/// A pairing as a person sees it.
pub(crate) async fn pairing(
    station: Arc<Station>,
    proof: OperatorProof,
    request: PairRequest,
) -> Result<(), StationError> {
    match station.pair(&proof, request).await? {
        PairOutcome::Paired(_) | PairOutcome::Pending(_) => Ok(()),
    }
}

/// Somebody does something at a station that runs. What it comes to is in the trace.
fn at_station<F>(
    running: &Running,
    watch: &Watch,
    what: String,
    act: impl FnOnce(Arc<Station>, OperatorProof) -> F,
) where
    F: Future<Output = Result<(), StationError>> + Send + 'static,
{
    let until = Tick::new(Duration::from_secs(1_000_000_000));
    let Some(proof) = proof("ada", Role::Administrator, until) else { return };
    let work = act(Arc::clone(&running.station), proof);
    let (watch, life) = (watch.clone(), running.life.clone());
    drop(tokio::spawn(async move {
        let answer = work.await;
        // An answer of a station that is off reaches nobody.
        life.go_on().await;
        let answer = answer.err().map_or("done", |error| error.code().as_str());
        watch.note(&format!("{what}: {answer}"));
    }));
}
