//! The station's records.

use zmon_domain::audit::EventType;
use zmon_domain::ids::DeviceId;
use zmon_station::ports::{CertificateRow, CertificateState, StationRecord, StationWrite};

use super::{Inner, Watch, rows};
use crate::lock;
use crate::store::Tables;

impl Watch {
    /// A record of the station has become durable.
    pub(crate) fn station(&self, before: &Tables, after: &Tables, record: &StationRecord) {
        let mut inner = lock(&self.0);
        inner.counts.station_records += 1;
        for row in &record.audit {
            let device = row.device_id.as_ref().map_or("-", DeviceId::as_str);
            let error = row.error.map_or("", |code| code.as_str());
            inner.note(&format!("station {device} {} {error}", row.event.as_str()));
        }
        inner.has_its_rows(record);
        inner.tokens(before, after, record);
        for row in after.certificates.values() {
            inner.certificate(before, row);
        }
        let gone =
            before.certificates.keys().find(|serial| !after.certificates.contains_key(serial));
        if let Some(serial) = gone {
            inner.broke(format!("certificate {serial} is gone"));
        }
        for device in after.devices.keys() {
            inner.one_current(after, device);
        }
        for (device, counter) in &before.counters {
            if after.counters.get(device).is_none_or(|after| after < counter) {
                inner.broke(format!("the recovery counter of {device} went back"));
            }
        }
    }
}

impl Inner {
    fn has_its_rows(&mut self, record: &StationRecord) {
        for write in &record.writes {
            let rows = rows::of_station(write);
            let written = record.audit.iter().any(|row| rows.contains(&row.event));
            if !rows.is_empty() && !written {
                let there: Vec<_> = record.audit.iter().map(|row| row.event.as_str()).collect();
                self.broke(format!("no audit row for {}, only {there:?}", name(write)));
            }
        }
    }

    /// A token by whose claim there is a row opens nothing any more.
    fn tokens(&mut self, before: &Tables, after: &Tables, record: &StationRecord) {
        for write in &record.writes {
            if let StationWrite::Reserve(row) = write
                && let Some(by) = self.claimed.get(&row.token_id).filter(|by| **by != row.id)
            {
                let by = *by;
                self.broke(format!("old token: claimed by {by}, and opened {}", row.id));
            }
        }
        for row in record.audit.iter().filter(|row| row.event == EventType::SessionClaimed) {
            let session = row.session.and_then(|id| after.sessions.get(&id));
            if let Some(session) = session {
                self.claimed.entry(session.token_id).or_insert(session.id);
            }
        }
        for (token, session) in &before.tokens {
            if after.tokens.get(token) != Some(session) {
                self.broke(format!("the claim of session {session} is forgotten"));
            }
        }
    }

    fn one_current(&mut self, tables: &Tables, device: &DeviceId) {
        let current = |row: &&CertificateRow| row.state == CertificateState::Current;
        let count = tables.of_device(device).filter(current).count();
        if count > 1 {
            self.broke(format!("{device} has {count} current certificates"));
        }
    }

    /// One row, as it was and as it is.
    fn certificate(&mut self, before: &Tables, row: &CertificateRow) {
        use CertificateState::{Current, Pending, Revoked, Superseded};
        let serial = row.serial;
        let Some(old) = before.certificates.get(&serial) else {
            let highest = before.of_device(&row.device_id).map(|row| row.config_version).max();
            if highest.is_some_and(|highest| row.config_version <= highest) {
                let version = row.config_version;
                self.broke(format!("configVersion {version} of {} does not rise", row.device_id));
            }
            let twin = before.certificates.values().any(|other| other.session == row.session);
            if twin {
                self.broke(format!("double issue: session {} has two", row.session));
            }
            if row.state != Pending {
                self.broke(format!("certificate {serial} was never pending"));
            }
            return;
        };
        let moves = match (old.state, row.state) {
            (one, other) if one == other => true,
            (Pending, Current | Revoked) | (Current, Superseded | Revoked) => true,
            (Superseded, Revoked) => true,
            _ => false,
        };
        if !moves {
            self.broke(format!("certificate {serial}: {} became {}", old.state, row.state));
        }
        if old.committed_at.is_some() && row.committed_at != old.committed_at {
            self.broke(format!("the commit of {serial} is forgotten"));
        }
        if old.revoked.is_some() && row.revoked.is_none() {
            self.broke(format!("the revocation of {serial} is forgotten"));
        }
        self.counts.commits += u64::from(old.state == Pending && row.state == Current);
        self.counts.revocations += u64::from(old.state != Revoked && row.state == Revoked);
    }
}

fn name(write: &StationWrite) -> String {
    let text = format!("{write:?}");
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}
