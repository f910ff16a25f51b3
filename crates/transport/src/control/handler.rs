//! From requests to use-cases.

use std::sync::Arc;

use async_trait::async_trait;
use zmon_domain::address::DeviceAddress;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::{OperatorId, SiteId, Thumbprint};
use zmon_domain::limits;
use zmon_domain::role::{OperatorProof, Role};
use zmon_domain::time::UnixTime;
use zmon_provisioning::ports::{AuditPage, Authenticator, Clock, DeviceStore, Pin};
use zmon_provisioning::{
    AuditedOperators, EventStream, IProvisioningService, LocalOperator, Opening, ProvisioningEvent,
    ProvisioningPayload,
};
use zmon_wire::control::{
    AnchorView, AnchorsView, ControlAnswer, ControlRequest, CourierView, IdentityView,
    OperatorView, OperatorsView,
};
use zmon_wire::kind::True;
use zmon_wire::problem::Problem;
use zmon_wire::secret::SecretText;

use super::view;

/// Local accounts, as an administrator sees and changes them at the socket (D22). Every change and
/// every refusal is audited; `not_permitted` unless the proof is an administrator's.
#[async_trait]
pub trait LocalAccounts: Send + Sync {
    /// Adds an account on behalf of the operator in `proof`.
    ///
    /// # Errors
    /// `not_permitted`, `operator_exists`.
    async fn add(
        &self,
        proof: &OperatorProof,
        id: OperatorId,
        role: Role,
        pin: Pin,
    ) -> Result<(), ErrorReport>;

    /// Every account.
    ///
    /// # Errors
    /// `not_permitted`.
    async fn list(&self, proof: &OperatorProof) -> Result<Vec<OperatorView>, ErrorReport>;

    /// Removes an account.
    ///
    /// # Errors
    /// `not_permitted`, `operator_unknown`; `last_administrator` for the only one there is.
    async fn remove(&self, proof: &OperatorProof, account: OperatorId) -> Result<(), ErrorReport>;

    /// Gives an account another PIN and forgets its wrong ones.
    ///
    /// # Errors
    /// `not_permitted`, `operator_unknown`.
    async fn set_pin(
        &self,
        proof: &OperatorProof,
        account: OperatorId,
        pin: Pin,
    ) -> Result<(), ErrorReport>;

    /// Forgets the wrong PINs of an account, so that it need not wait.
    ///
    /// # Errors
    /// `not_permitted`, `operator_unknown`.
    async fn unlock(&self, proof: &OperatorProof, account: OperatorId) -> Result<(), ErrorReport>;

    /// Makes the first account, an administrator, audited; only while there is none.
    ///
    /// # Errors
    /// `state_conflict` once there is an operator.
    async fn create_administrator(&self, id: OperatorId, pin: Pin) -> Result<(), ErrorReport>;
}

#[async_trait]
impl LocalAccounts for AuditedOperators {
    async fn add(
        &self,
        proof: &OperatorProof,
        id: OperatorId,
        role: Role,
        pin: Pin,
    ) -> Result<(), ErrorReport> {
        self.add(proof, id, role, pin).await
    }

    async fn list(&self, proof: &OperatorProof) -> Result<Vec<OperatorView>, ErrorReport> {
        let operators = self.list(proof).await?.into_iter();
        let view =
            |LocalOperator { id, role, is_locked }| OperatorView { operator: id, role, is_locked };
        Ok(operators.map(view).collect())
    }

    async fn remove(&self, proof: &OperatorProof, account: OperatorId) -> Result<(), ErrorReport> {
        self.remove(proof, account).await
    }

    async fn set_pin(
        &self,
        proof: &OperatorProof,
        account: OperatorId,
        pin: Pin,
    ) -> Result<(), ErrorReport> {
        self.set_pin(proof, account, pin).await
    }

    async fn unlock(&self, proof: &OperatorProof, account: OperatorId) -> Result<(), ErrorReport> {
        self.unlock(proof, account).await
    }

    async fn create_administrator(&self, id: OperatorId, pin: Pin) -> Result<(), ErrorReport> {
        self.create_administrator(id, pin).await
    }
}

/// Where a courier lays down what a station says, and takes what the device answers (D7).
#[async_trait]
pub trait CourierDesk: Send + Sync {
    /// Takes the message that lies there and lays the answer beside it.
    ///
    /// # Errors
    /// `nothing_to_carry`, `courier_unavailable`, `request_malformed`; why the device refused it.
    async fn import(&self) -> Result<CourierView, ErrorReport>;
}

/// The anchors of the device, as an administrator at the socket sees and adds them (D8).
#[async_trait]
pub trait AnchorDesk: Send + Sync {
    /// Every anchor.
    ///
    /// # Errors
    /// What storage says.
    async fn list(&self) -> Result<Vec<AnchorView>, ErrorReport>;

    /// Believes the stations of one more authority from now on, and after every start. It and every
    /// refusal is audited.
    ///
    /// # Errors
    /// `not_permitted`, `anchor_invalid`, `anchor_fingerprint_mismatch`, `state_conflict` while a window
    /// or session is open, `erase_pending`; what storage says.
    async fn import(
        &self,
        proof: OperatorProof,
        certificate: &[u8],
        site: SiteId,
        fingerprint: Thumbprint,
    ) -> Result<(), ErrorReport>;
}

/// What the socket is composed of.
#[derive(Clone)]
#[non_exhaustive]
pub struct ControlParts {
    /// The device.
    pub service: Arc<dyn IProvisioningService>,
    /// Who turns PINs into proofs, and writes down the wrong ones (D22).
    pub authenticator: Arc<dyn Authenticator>,
    /// The audit log.
    pub store: Arc<dyn DeviceStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who the device is.
    pub identity: IdentityView,
    /// Local accounts; without them requests about operators are refused.
    pub accounts: Option<Arc<dyn LocalAccounts>>,
    /// The courier's desk; without one a device takes no files.
    pub courier: Option<Arc<dyn CourierDesk>>,
    /// The anchors; without them requests about anchors are refused.
    pub anchors: Option<Arc<dyn AnchorDesk>>,
}

impl ControlParts {
    /// The parts every device has.
    pub fn new(
        service: Arc<dyn IProvisioningService>,
        authenticator: Arc<dyn Authenticator>,
        store: Arc<dyn DeviceStore>,
        clock: Arc<dyn Clock>,
        identity: IdentityView,
    ) -> Self {
        Self {
            service,
            authenticator,
            store,
            clock,
            identity,
            accounts: None,
            courier: None,
            anchors: None,
        }
    }

    /// Lets administrators see and import anchors.
    #[must_use]
    pub fn with_anchors(mut self, anchors: Arc<dyn AnchorDesk>) -> Self {
        self.anchors = Some(anchors);
        self
    }

    /// Lets administrators manage local accounts.
    #[must_use]
    pub fn with_accounts(mut self, accounts: Arc<dyn LocalAccounts>) -> Self {
        self.accounts = Some(accounts);
        self
    }

    /// Lets couriers bring files.
    #[must_use]
    pub fn with_courier(mut self, courier: Arc<dyn CourierDesk>) -> Self {
        self.courier = Some(courier);
        self
    }
}

/// Answers requests: those of the socket's clients, and those of a program that composes the device itself.
pub struct ControlHandler {
    parts: ControlParts,
}

type Answer = Result<ControlAnswer, ErrorReport>;

const DONE: Answer = Ok(ControlAnswer::Done {});

impl ControlHandler {
    /// Answers for `parts`.
    #[must_use]
    pub fn new(parts: ControlParts) -> Arc<Self> {
        Arc::new(Self { parts })
    }

    /// The answer to one request, a refusal included.
    pub async fn answer(&self, request: ControlRequest) -> ControlAnswer {
        self.carry_out(request).await.unwrap_or_else(|report| refusal(&report))
    }

    /// The state of the device.
    pub(super) fn status(&self) -> ControlAnswer {
        let service = &self.parts.service;
        let (shown, link) = (service.view().borrow().clone(), service.link().borrow().clone());
        let now = self.parts.clock.now();
        let device = &self.parts.identity.device_id;
        ControlAnswer::Status(Box::new(shown.status_view(device, &link, &now)))
    }

    /// Signals from now on.
    pub(super) fn events(&self) -> EventStream {
        self.parts.service.events()
    }

    /// One signal as it travels.
    pub(super) fn event(&self, event: &ProvisioningEvent) -> Option<ControlAnswer> {
        view::event(event).map(ControlAnswer::Event)
    }

    async fn carry_out(&self, request: ControlRequest) -> Answer {
        let service = &self.parts.service;
        match request {
            ControlRequest::Status {} | ControlRequest::Events {} => Ok(self.status()),
            ControlRequest::Enter { operator, pin, address, override_interlock } => {
                let proof = self.authenticate(&operator, &pin).await?;
                match override_interlock {
                    None => service.enter_provisioning_mode(proof).await?,
                    Some(reason) => {
                        service.open_despite_interlock(proof, reason, Opening::Enter).await?;
                    }
                }
                self.announce(address).await
            }
            ControlRequest::Reprovision {
                operator,
                pin,
                confirm: True,
                address,
                override_interlock,
            } => {
                let proof = self.authenticate(&operator, &pin).await?;
                match override_interlock {
                    None => service.reprovision_device(proof).await?,
                    Some(reason) => {
                        service.open_despite_interlock(proof, reason, Opening::Reprovision).await?;
                    }
                }
                self.announce(address).await
            }
            ControlRequest::Qr {} => {
                let data = service.generate_qr_code().await?;
                view::qr(&data).map(ControlAnswer::Qr)
            }
            ControlRequest::Regenerate {} => {
                service.generate_pairing_code().await?;
                DONE
            }
            ControlRequest::Cancel {} => {
                // No PIN: whoever is at the device may end a window.
                service.exit_provisioning_mode(None).await?;
                DONE
            }
            ControlRequest::Courier {} => {
                // No PIN: what a courier brings proves itself, as at the listener.
                let courier = self.parts.courier.as_ref().ok_or(ErrorCode::CourierUnavailable)?;
                Ok(ControlAnswer::Courier(courier.import().await?))
            }
            ControlRequest::Simulate { payload } => {
                // No PIN: an operator has opened the window, and only a development build has a
                // station to do it.
                let payload = match payload {
                    Some(fields) => ProvisioningPayload::from_fields(*fields),
                    None => self.mock_payload(),
                };
                match service.simulate_provisioning(&payload).await.error {
                    None => DONE,
                    Some(error) => Err(error),
                }
            }
            ControlRequest::Retry { operator, pin } => {
                service.retry(self.authenticate(&operator, &pin).await?).await?;
                DONE
            }
            ControlRequest::Renew { operator, pin } => {
                service.renew_certificate(self.authenticate(&operator, &pin).await?).await?;
                DONE
            }
            ControlRequest::ConfirmStation { operator, pin, words } => {
                let proof = self.authenticate(&operator, &pin).await?;
                service.confirm_station(proof, &words).await?;
                DONE
            }
            ControlRequest::RefuseStation {} => {
                // No PIN: whoever is at the device may end a pairing.
                service.refuse_station(None).await?;
                DONE
            }
            ControlRequest::Reset { operator, pin } => {
                service.reset(self.authenticate(&operator, &pin).await?).await?;
                DONE
            }
            ControlRequest::Deprovision { operator, pin } => {
                service.deprovision_device(self.authenticate(&operator, &pin).await?).await?;
                DONE
            }
            ControlRequest::FactoryReset { operator, pin, confirmation, new_identity } => {
                let proof = self.authenticate(&operator, &pin).await?;
                let confirmation = confirmation.as_str();
                if new_identity {
                    service.factory_reset_with_new_identity(proof, confirmation).await?;
                } else {
                    service.factory_reset(proof, confirmation).await?;
                }
                DONE
            }
            ControlRequest::Migrate { operator, pin, address } => {
                let proof = self.authenticate(&operator, &pin).await?;
                service.migrate(proof).await?;
                let is_open = service.view().borrow().pairing.is_some();
                self.announce(address.filter(|_| is_open)).await
            }
            ControlRequest::PostponeMigration { operator, pin } => {
                service.postpone_migration(self.authenticate(&operator, &pin).await?).await?;
                DONE
            }
            ControlRequest::CreateAdministrator { operator, pin } => {
                // An account made now would be forgotten, or its PIN hashed under a key that goes.
                if service.view().borrow().erasing {
                    return Err(ErrorCode::ErasePending.into());
                }
                let accounts = self.parts.accounts.as_ref().ok_or(ErrorCode::StateConflict)?;
                accounts.create_administrator(operator, read_pin("pin", &pin)?).await?;
                DONE
            }
            ControlRequest::Identity {} => Ok(ControlAnswer::Identity(self.parts.identity.clone())),
            ControlRequest::Anchors {} => {
                let anchors = self.anchors()?.list().await?;
                Ok(ControlAnswer::Anchors(AnchorsView { anchors }))
            }
            ControlRequest::ImportAnchor { operator, pin, certificate, site, fingerprint } => {
                let proof = self.authenticate(&operator, &pin).await?;
                self.anchors()?.import(proof, &certificate, site, fingerprint).await?;
                DONE
            }
            ControlRequest::Link {} => Ok(ControlAnswer::Link((&*service.link().borrow()).into())),
            ControlRequest::Log { after, limit } => self.log(after, limit).await,
            ControlRequest::Verify {} => {
                let report = self.parts.store.verify_audit().await?;
                Ok(ControlAnswer::Verdict(view::verdict(&report)))
            }
            ControlRequest::AddOperator { operator, pin, new_operator, new_pin, role } => {
                let new_pin = read_pin("newPin", &new_pin)?;
                let proof = self.authenticate(&operator, &pin).await?;
                self.accounts()?.add(&proof, new_operator, role, new_pin).await?;
                DONE
            }
            ControlRequest::ListOperators { operator, pin } => {
                let proof = self.authenticate(&operator, &pin).await?;
                let operators = self.accounts()?.list(&proof).await?;
                Ok(ControlAnswer::Operators(OperatorsView { operators }))
            }
            ControlRequest::RemoveOperator { operator, pin, account } => {
                let proof = self.authenticate(&operator, &pin).await?;
                self.accounts()?.remove(&proof, account).await?;
                DONE
            }
            ControlRequest::SetPin { operator, pin, account, new_pin } => {
                let new_pin = read_pin("newPin", &new_pin)?;
                let proof = self.authenticate(&operator, &pin).await?;
                self.accounts()?.set_pin(&proof, account, new_pin).await?;
                DONE
            }
            ControlRequest::UnlockOperator { operator, pin, account } => {
                let proof = self.authenticate(&operator, &pin).await?;
                self.accounts()?.unlock(&proof, account).await?;
                DONE
            }
            _ => Err(ErrorCode::RequestMalformed.into()),
        }
    }

    fn accounts(&self) -> Result<&dyn LocalAccounts, ErrorReport> {
        self.parts.accounts.as_deref().ok_or(ErrorCode::StateConflict.into())
    }

    fn anchors(&self) -> Result<&dyn AnchorDesk, ErrorReport> {
        self.parts.anchors.as_deref().ok_or(ErrorCode::StateConflict.into())
    }

    async fn authenticate(
        &self,
        operator: &OperatorId,
        pin: &SecretText,
    ) -> Result<OperatorProof, ErrorReport> {
        let now = self.parts.clock.now();
        self.parts.authenticator.authenticate_typed(operator, pin.expose(), &now).await
    }

    /// What [W §9.3] calls the mock configuration payload.
    fn mock_payload(&self) -> ProvisioningPayload {
        let now = self.parts.clock.now().wall.unwrap_or(UnixTime::EPOCH);
        ProvisioningPayload::mock(&self.parts.identity.device_id, "", now)
    }

    /// Puts an address given with the request into the QR code.
    async fn announce(&self, address: Option<DeviceAddress>) -> Answer {
        if let Some(address) = address {
            let id = &self.parts.identity.device_id;
            self.parts.service.generate_provisioning_qr_code(id, address).await?;
        }
        DONE
    }

    async fn log(&self, after: u64, limit: Option<u16>) -> Answer {
        let most = u32::try_from(limits::PAGE_ROWS.max).unwrap_or(u32::MAX);
        let usual = u32::try_from(limits::PAGE_ROWS.default).unwrap_or(most);
        let limit = limit.map_or(usual, |rows| u32::from(rows).clamp(1, most));
        let rows = self.parts.store.events(AuditPage { after, limit }).await?;
        Ok(ControlAnswer::Log(view::log(rows, limit)))
    }
}

/// A refusal as it travels.
pub(super) fn refusal(report: &ErrorReport) -> ControlAnswer {
    ControlAnswer::Error(Box::new(Problem::new(report)))
}

/// A PIN that is being chosen. What cannot be one is refused before anybody is authenticated: a typo
/// costs no try.
fn read_pin(member: &'static str, pin: &SecretText) -> Result<Pin, ErrorReport> {
    Pin::parse(pin.expose())
        .map_err(|detail| ErrorReport::field(ErrorCode::RequestMalformed, detail.at(member)))
}
