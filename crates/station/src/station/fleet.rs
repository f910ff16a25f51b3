//! What an operator looks at: the fleet with its links, certificates, figures, policy.

use core::str::FromStr;
use core::time::Duration;
use std::collections::BTreeMap;

use zmon_domain::error::{ErrorCode, FieldError};
use zmon_domain::ids::DeviceId;
use zmon_domain::limits;
use zmon_domain::role::{Action, OperatorProof};
use zmon_domain::route::Route;
use zmon_domain::time::{Now, UnixTime, is_expired};
use zmon_wire::admin::DeviceList;
use zmon_wire::fleet::{
    CertificateList, CertificateStanding, CertificateView, ExpiryDay, LinkView, Overview,
    PolicyView, RevocationCause,
};

use super::Station;
use crate::error::StationError;
use crate::links::Link;
use crate::ports::{
    CertificateListing, CertificateRow, CertificateState, DeviceRow, DeviceStatus, Page,
    RevocationReason,
};

const DAY: u64 = 86_400;

/// Which devices of the registry are listed, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetFilter {
    /// Those that have this text in id, serial number, bed, label or model.
    pub text: Option<FilterText>,
    /// Those that stand so.
    pub state: Option<FleetState>,
    /// The order.
    pub order: FleetOrder,
    /// Only those whose id comes after this one: where the page before ended, whatever was registered or
    /// left out meanwhile.
    pub after: Option<DeviceId>,
}

/// A text to be found, whatever its case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterText(String);

impl FromStr for FilterText {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        if text.len() > limits::FILTER_MAX.default || text.chars().any(char::is_control) {
            let rule = "must be text of at most 64 bytes without control characters";
            return Err(FieldError::new("text", rule));
        }
        Ok(Self(text.trim().to_lowercase()))
    }
}

impl FilterText {
    fn is_in(&self, row: &DeviceRow) -> bool {
        let place =
            [row.bed.as_ref().map(|bed| bed.as_str()), row.label.as_ref().map(|l| l.as_str())];
        let model = row.model.as_ref().map(|model| model.as_str());
        let texts = [Some(row.id.as_str()), Some(row.serial.as_str()), model];
        let mut texts = texts.into_iter().chain(place).flatten();
        texts.any(|text| text.to_lowercase().contains(&self.0))
    }
}

/// How a device stands, in one word. Some exclude each other, `expiring` and `expired` come besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FleetState {
    /// Its link is alive.
    Connected,
    /// It has a certificate, and its link is not alive.
    Disconnected,
    /// It is in service and has no certificate.
    Unprovisioned,
    /// Its certificate ends soon.
    Expiring,
    /// Its certificate has ended.
    Expired,
    /// It was taken out of service.
    Decommissioned,
}

impl FleetState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Connected,
        Self::Disconnected,
        Self::Unprovisioned,
        Self::Expiring,
        Self::Expired,
        Self::Decommissioned,
    ];

    /// The word in a request.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Unprovisioned => "unprovisioned",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Decommissioned => "decommissioned",
        }
    }
}

impl FromStr for FleetState {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.ok_or(FieldError::new(
            "state",
            "must be connected, disconnected, unprovisioned, expiring, expired or decommissioned",
        ))
    }
}

/// The order of a list of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FleetOrder {
    /// By id.
    #[default]
    Id,
    /// By bed, those without one last.
    Bed,
}

impl FleetOrder {
    /// Every order.
    pub const ALL: [Self; 2] = [Self::Id, Self::Bed];

    /// The word in a request.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Bed => "bed",
        }
    }
}

impl FromStr for FleetOrder {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let known = Self::ALL.into_iter().find(|order| order.as_str() == text);
        known.ok_or(FieldError::new("order", "must be id or bed"))
    }
}

/// Whose certificates are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificatesOf {
    /// Everybody's that stand so.
    State(CertificateState),
    /// One device's, however they stand.
    Device(DeviceId),
}

/// A device with what its state is made of.
struct Member {
    row: DeviceRow,
    not_after: Option<UnixTime>,
    alive: bool,
}

impl Member {
    fn stands(&self, state: FleetState, now: UnixTime) -> bool {
        let active = self.row.status == DeviceStatus::Active;
        match state {
            FleetState::Connected => active && self.alive,
            FleetState::Disconnected => active && self.not_after.is_some() && !self.alive,
            FleetState::Unprovisioned => active && self.not_after.is_none(),
            FleetState::Expiring => self.not_after.is_some_and(|end| ends_soon(end, now)),
            FleetState::Expired => self.not_after.is_some_and(|end| is_expired(now, end)),
            FleetState::Decommissioned => !active,
        }
    }
}

impl Station {
    /// Devices with their current certificate and their link; at most [`limits::PAGE_ROWS`] rows.
    ///
    /// # Errors
    /// `not_permitted`, storage errors.
    pub async fn fleet(
        &self,
        proof: &OperatorProof,
        filter: &FleetFilter,
        page: Page,
    ) -> Result<DeviceList, StationError> {
        let now = self.now();
        self.authorise(proof, Action::ReadRegistry, &now).await?;
        let wall = Self::wall(&now)?;
        let mut members = self.members(&now).await?;
        members.retain(|member| {
            filter.text.as_ref().is_none_or(|text| text.is_in(&member.row))
                && filter.state.is_none_or(|state| member.stands(state, wall))
        });
        let total = count(members.len());
        members.retain(|member| filter.after.as_ref().is_none_or(|after| member.row.id > *after));
        match filter.order {
            // Some databases order text otherwise than the cursor does.
            FleetOrder::Id => members.sort_by(|one, other| one.row.id.cmp(&other.row.id)),
            FleetOrder::Bed => {
                let place = |member: &Member| (member.row.bed.is_none(), member.row.bed.clone());
                members.sort_by_key(place);
            }
        }
        let mut list = DeviceList { devices: Vec::new(), total };
        for member in members.into_iter().skip(skipped(page)).take(taken(page)) {
            list.devices.push(self.listed(member.row).await?);
        }
        Ok(list)
    }

    /// Certificates: of one state the soonest to end first (revoked ones: the latest revocation), of one
    /// device the latest issued first; at most [`limits::PAGE_ROWS`] rows.
    ///
    /// # Errors
    /// `device_unknown`, `not_permitted`, storage errors.
    pub async fn certificates(
        &self,
        proof: &OperatorProof,
        of: &CertificatesOf,
        page: Page,
    ) -> Result<CertificateList, StationError> {
        let now = self.now();
        self.authorise(proof, Action::ReadRegistry, &now).await?;
        let page = Page { limit: u32::try_from(taken(page)).unwrap_or(page.limit), ..page };
        let store = &self.parts.store;
        let (rows, total) = match of {
            CertificatesOf::State(state) => {
                let total = store.count_certificates(*state).await?;
                (store.certificates(*state, page).await?, total)
            }
            CertificatesOf::Device(device) => {
                let _known = store.device(device).await?.ok_or(ErrorCode::DeviceUnknown)?;
                let mut all = Vec::new();
                for state in CertificateState::ALL {
                    all.extend(store.certificates_of_device(device, state).await?);
                }
                all.sort_by_key(|row| core::cmp::Reverse((row.issued_at, row.serial)));
                let total = count(all.len());
                let rows = all.into_iter().skip(skipped(page)).take(taken(page));
                (rows.map(CertificateListing::from).collect(), total)
            }
        };
        let expiry = self.expiry(Self::wall(&now)?).await?;
        Ok(CertificateList { certificates: rows.into_iter().map(view).collect(), total, expiry })
    }

    /// Figures at a glance.
    ///
    /// # Errors
    /// `not_permitted`, storage errors.
    pub async fn overview(&self, proof: &OperatorProof) -> Result<Overview, StationError> {
        let now = self.now();
        self.authorise(proof, Action::ReadRegistry, &now).await?;
        let wall = Self::wall(&now)?;
        let members = self.members(&now).await?;
        let those = |state| count(members.iter().filter(|m| m.stands(state, wall)).count());
        let open = self.parts.store.open_sessions().await?;
        let (connected, disconnected) =
            (those(FleetState::Connected), those(FleetState::Disconnected));
        Ok(Overview {
            time: wall,
            since: self.since.unwrap_or(wall),
            active: count(members.len()).saturating_sub(those(FleetState::Decommissioned)),
            provisioned: connected.saturating_add(disconnected),
            connected,
            expiring: those(FleetState::Expiring),
            expired: those(FleetState::Expired),
            open_sessions: count(open.iter().filter(|row| !row.phase.is_final()).count()),
            paired_last_day: self.parts.store.paired_since(wall - Duration::from_secs(DAY)).await?,
            junk_refused: self.junk().total(),
        })
    }

    /// What this station is and allows.
    ///
    /// # Errors
    /// `not_permitted`, storage errors.
    pub async fn policy_view(
        &self,
        proof: &OperatorProof,
        version: &str,
    ) -> Result<PolicyView, StationError> {
        self.authorise(proof, Action::ReadRegistry, &self.now()).await?;
        let (profile, policy) = (&self.parts.profile, &self.parts.policy);
        let session = &policy.session;
        Ok(PolicyView {
            station_id: profile.station_id.clone(),
            station_name: profile.station_name.clone(),
            site_id: profile.site_id.clone(),
            server_url: profile.server.url.clone(),
            version: version.to_owned(),
            routes: Route::ALL.to_vec(),
            device_trust: session
                .device_trust
                .iter()
                .map(|ground| ground.as_str().to_owned())
                .collect(),
            trust_levels: session.station_trust.clone(),
            suites: session.suites.iter().map(|suite| (*suite).into()).collect(),
            require_hardware_keys: session.require_hardware_keys,
            station_made_keys: session.station_made_keys,
            recovery: policy.recovery,
            enrolment: policy
                .enrolment
                .rights()
                .iter()
                .map(|right| right.as_str().to_owned())
                .collect(),
            networks: session.networks.networks.clone(),
            first_port: *session.networks.ports.start(),
            last_port: *session.networks.ports.end(),
            certificate_seconds: policy.certificate_lifetime.as_secs(),
            crl_seconds: policy.crl_lifetime.as_secs(),
            pending_seconds: session.pending_lifetime.as_secs(),
            session_seconds: session.session_lifetime.as_secs(),
            claim_seconds: session.claim_without_pair.as_secs(),
            login_seconds: policy.login_lifetime.as_secs(),
            sync_interval: policy.defaults.sync_interval,
            measurement_unit: policy.defaults.unit,
            language: policy.defaults.language,
        })
    }

    /// A device's link as it is shown.
    pub(super) fn link_view(&self, row: &DeviceRow, now: &Now) -> Option<(UnixTime, LinkView)> {
        let link = self.links().get(&row.id)?;
        let view = LinkView {
            connected: self.is_alive(&link, row, now),
            seconds_ago: now.mono.since(link.heard).as_secs(),
            uptime_seconds: link.uptime_seconds,
            bytes_sent: link.bytes_sent,
            errors: link.errors,
            state: link.state,
        };
        Some((link.at, view))
    }

    fn is_alive(&self, link: &Link, row: &DeviceRow, now: &Now) -> bool {
        let interval = row.sync_interval.unwrap_or(self.parts.policy.defaults.sync_interval);
        row.status == DeviceStatus::Active && link.is_alive(interval.as_duration(), now.mono)
    }

    /// The whole registry; it has thousands of rows at most.
    async fn members(&self, now: &Now) -> Result<Vec<Member>, StationError> {
        let mut rows = Vec::new();
        loop {
            let page = whole_page(rows.len());
            let more = self.parts.store.devices(page).await?;
            let over = more.len() < taken(page);
            rows.extend(more);
            if over {
                break;
            }
        }
        let current = self.all_current().await?;
        let ends: BTreeMap<_, _> =
            current.iter().map(|row| (&row.device_id, row.not_after)).collect();
        let member = |row: DeviceRow| {
            let link = self.links().get(&row.id);
            let not_after = ends.get(&row.id).copied();
            let alive =
                not_after.is_some() && link.is_some_and(|link| self.is_alive(&link, &row, now));
            Member { not_after, alive, row }
        };
        Ok(rows.into_iter().map(member).collect())
    }

    /// Every current certificate.
    async fn all_current(&self) -> Result<Vec<CertificateListing>, StationError> {
        let mut rows = Vec::new();
        loop {
            let page = whole_page(rows.len());
            let more = self.parts.store.certificates(CertificateState::Current, page).await?;
            let over = more.len() < taken(page);
            rows.extend(more);
            if over {
                return Ok(rows);
            }
        }
    }

    /// When current certificates end, by whole days from now.
    async fn expiry(&self, now: UnixTime) -> Result<Vec<ExpiryDay>, StationError> {
        let day = i64::try_from(DAY).unwrap_or(i64::MAX);
        let mut days = BTreeMap::<i32, u32>::new();
        for row in self.all_current().await? {
            let left = (row.not_after.unix() - now.unix()).div_euclid(day);
            let count = days.entry(i32::try_from(left).unwrap_or(i32::MAX)).or_default();
            *count = count.saturating_add(1);
        }
        Ok(days.into_iter().map(|(day, certificates)| ExpiryDay { day, certificates }).collect())
    }
}

fn ends_soon(end: UnixTime, now: UnixTime) -> bool {
    !is_expired(now, end) && end.since(now) <= limits::CERT_SOON.default
}

fn view(row: CertificateListing) -> CertificateView {
    CertificateView {
        serial: row.serial,
        device_id: row.device_id,
        session_id: row.session,
        state: match row.state {
            CertificateState::Pending => CertificateStanding::Pending,
            CertificateState::Current => CertificateStanding::Current,
            CertificateState::Superseded => CertificateStanding::Superseded,
            CertificateState::Revoked | _ => CertificateStanding::Revoked,
        },
        issued_at: row.issued_at,
        not_before: row.not_before,
        not_after: row.not_after,
        revoked_at: row.revoked.map(|(at, _)| at),
        reason: row.revoked.map(|(_, reason)| cause(reason)),
    }
}

const fn cause(reason: RevocationReason) -> RevocationCause {
    match reason {
        RevocationReason::Aborted => RevocationCause::Aborted,
        RevocationReason::Superseded => RevocationCause::Superseded,
        RevocationReason::Administrator => RevocationCause::Administrator,
        RevocationReason::KeyCompromise => RevocationCause::KeyCompromise,
        RevocationReason::Decommissioned => RevocationCause::Decommissioned,
    }
}

impl From<CertificateRow> for CertificateListing {
    fn from(row: CertificateRow) -> Self {
        Self {
            serial: row.serial,
            session: row.session,
            device_id: row.device_id,
            state: row.state,
            not_before: row.not_before,
            not_after: row.not_after,
            issued_at: row.issued_at,
            revoked: row.revoked,
        }
    }
}

/// The page after so many rows, as long as a page may be.
fn whole_page(rows: usize) -> Page {
    let limit = u32::try_from(limits::PAGE_ROWS.max).unwrap_or(u32::MAX);
    Page { offset: count(rows), limit }
}

fn skipped(page: Page) -> usize {
    usize::try_from(page.offset).unwrap_or(usize::MAX)
}

fn taken(page: Page) -> usize {
    usize::try_from(page.limit).unwrap_or(usize::MAX).min(limits::PAGE_ROWS.max)
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
