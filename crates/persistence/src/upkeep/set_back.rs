//! Going on from an earlier state, so that nothing of the time that is lost counts again (D13, D16, D17).
//!
//! What was given out since then is known to others and not to this database: whoever holds it must be refused,
//! and no number may be given to anything else. So every session, login, reservation and
//! credential ends, what was pending is
//! aborted, numbers go on above floors that the lost time cannot have reached, and the log goes on in a new
//! lane. What the old record still says against anybody is taken over; what it says for anybody is not.

use core::convert::Infallible;

use async_trait::async_trait;
use zmon_domain::audit::{AuditEvent, EventType};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::{DeviceId, Serial, SessionId};
use zmon_domain::role::Actor;
use zmon_domain::time::{Now, UnixTime};

use super::old::OldRecord;
use super::station::StationUpkeep;
use crate::audit;
use crate::error::{PersistenceError, Result};
use crate::hex;
use crate::high_water::{Mark, crl_number};
use crate::lane;
use crate::sql::{Change, Connection, Row, query};

const OPEN_SESSIONS: &str = "SELECT count(*) FROM sessions \
     WHERE reserved = 1 OR phase NOT IN ('paired', 'failed', 'released')";
const LOGINS: &str = "SELECT count(*) FROM logins";
const CREDENTIALS: &str = "SELECT count(*) FROM enrolment_credentials WHERE spent_by IS NULL";
const PENDING: &str = "SELECT serial, session, device_id FROM certificates WHERE state = 'pending' \
     ORDER BY issued_at, serial";
const HIGHEST_VERSION: &str = "SELECT max(version) FROM ( \
     SELECT max(config_version) AS version FROM certificates \
     UNION ALL SELECT max(config_floor) FROM set_backs) AS versions";
const CURRENT: &str = "SELECT count(*) FROM certificates WHERE state IN ('current', 'superseded')";

/// Whoever ran a session finds a newer epoch.
const END_SESSIONS: &str = "UPDATE sessions SET reserved = 0, owner = '', epoch = epoch + 1, \
     lease_until = 0, phase = 'released', error = 'station_set_back' \
     WHERE phase NOT IN ('paired', 'failed', 'released')";
const END_RESERVATIONS: &str = "UPDATE sessions SET reserved = 0 WHERE reserved = 1";
const END_LOGINS: &str = "DELETE FROM logins";
/// In the time that is lost they may have been spent, replaced, or ended.
const END_CREDENTIALS: &str = "DELETE FROM enrolment_credentials";
const ABORT_PENDING: &str = "UPDATE certificates SET state = 'revoked', revoked_at = $1, \
     reason = 'aborted' WHERE state = 'pending'";
const REMEMBER: &str = "INSERT INTO set_backs (number, tag, at, crl_floor, config_floor) \
     SELECT coalesce(max(number), 0) + 1, $1, $2, $3, $4 FROM set_backs";

/// What the old record revoked of the certificates that this one knows, and those that it does not know.
const OLD_REVOCATIONS: &str = "SELECT o.serial, o.session, o.device_id FROM old.certificates o \
     LEFT JOIN certificates c ON c.serial = o.serial \
     WHERE c.serial IS NULL OR (o.state = 'revoked' AND c.state <> 'revoked') \
     ORDER BY o.issued_at, o.serial";

/// Certificates that this record does not know were issued in the time that is lost; `$1` is the present time.
const REVOKE_UNKNOWN: &str = "INSERT INTO certificates (serial, session, device_id, identity_key, \
     config_version, state, der, not_before, not_after, issued_at, committed_at, revoked_at, reason) \
     SELECT serial, session, device_id, identity_key, config_version, 'revoked', der, not_before, \
     not_after, issued_at, committed_at, coalesce(revoked_at, $1), coalesce(reason, 'administrator') \
     FROM old.certificates WHERE serial NOT IN (SELECT serial FROM certificates)";

/// What else an old database says against somebody.
const TAKE_OVER: [&str; 5] = [
    "UPDATE certificates SET state = 'revoked', \
     revoked_at = (SELECT o.revoked_at FROM old.certificates o WHERE o.serial = certificates.serial), \
     reason = (SELECT o.reason FROM old.certificates o WHERE o.serial = certificates.serial) \
     WHERE state <> 'revoked' AND serial IN \
     (SELECT serial FROM old.certificates WHERE state = 'revoked')",
    "INSERT INTO claimed_tokens (token_id, session_id) SELECT token_id, session_id \
     FROM old.claimed_tokens WHERE token_id NOT IN (SELECT token_id FROM claimed_tokens)",
    "INSERT INTO recovery_counters (device_id, counter) SELECT device_id, counter \
     FROM old.recovery_counters WHERE true ON CONFLICT (device_id) \
     DO UPDATE SET counter = excluded.counter WHERE excluded.counter > recovery_counters.counter",
    // Somebody must be able to administer: where nobody else could, accounts stay as the backup has them.
    "UPDATE operators SET disabled = 1 WHERE disabled = 0 \
     AND id IN (SELECT id FROM old.operators WHERE disabled = 1) \
     AND (role <> 'administrator' OR EXISTS (SELECT 1 FROM operators a \
     WHERE a.role = 'administrator' AND a.disabled = 0 \
     AND a.id NOT IN (SELECT id FROM old.operators WHERE disabled = 1)))",
    "UPDATE devices SET status = 'decommissioned' WHERE status = 'active' \
     AND id IN (SELECT id FROM old.devices WHERE status = 'decommissioned')",
];

/// What was ended when a database was set back, and where it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetBack {
    /// Sessions and reservations that were ended.
    pub sessions: u64,
    /// Logins that were ended.
    pub logins: u64,
    /// Credentials for an enrolment that nobody had spent, and that are ended.
    pub credentials: u64,
    /// Certificates that were pending, and are aborted.
    pub aborted: u64,
    /// Certificates that are revoked because the old record knew more of them.
    pub revoked: u64,
    /// Certificates that still open what they opened.
    pub accepted: u64,
    /// Rows of the log that are known to be lost.
    pub lost_rows: u64,
    /// Whether the old database told what had happened; otherwise a revocation since then is not known.
    pub is_complete: bool,
    /// Revocation lists have numbers above this one.
    pub crl_floor: u64,
    /// Configurations have versions above this one.
    pub config_floor: u64,
    /// The lane in which the log goes on.
    pub lane: String,
}

impl StationUpkeep {
    /// Goes on from the state that the database has. `event` is who did it and why; the row says what ended.
    /// With an `old` record, whatever it says against anybody is taken over.
    ///
    /// # Errors
    /// `StateConflict` when the clock is behind what the database has seen; `AuditUnavailable`; of the database.
    /// Nothing is changed then.
    pub async fn set_back(
        mut self,
        now: &Now,
        event: AuditEvent,
        old: Option<&OldRecord>,
    ) -> Result<(Self, SetBack)> {
        let at = now.wall.ok_or_else(|| {
            PersistenceError::new(ErrorCode::StateConflict, "the time of this machine is not known")
        })?;
        let tag = self.signer.draw(|rng| {
            let mut tag = [0; 8];
            rng.fill_bytes(&mut tag);
            hex::encode(&tag)
        });
        let lost_rows = match old {
            Some(old) => old.rows_after(&self.ends().await?)?,
            None => self.rows_behind().await?,
        };
        let marks = [old.and_then(|old| old.mark.clone()), self.high_water.read()?];
        let database = old.and_then(|old| old.database.as_ref());
        if let Some(old) = database {
            self.sqlite()?.attach_old(&old.path).await?;
        }
        let change = Settle {
            lane: lane::tagged(&lane::main(self.station()), &tag),
            tag,
            now,
            at,
            event,
            marks: marks.into_iter().flatten().collect(),
            has_old: database.is_some(),
            lost_rows,
        };
        let Ok(done) = self.database.write(&change).await?;
        self.lane.clone_from(&done.lane);
        let checkpoint = self.checkpoint(now).await?;
        self.mark(&checkpoint).await?;
        Ok((self, done))
    }

    /// How many rows the log is short of its high-water mark.
    async fn rows_behind(&self) -> Result<u64> {
        let Some(mark) = self.high_water.read()? else { return Ok(0) };
        OldRecord { database: None, mark: Some(mark) }.rows_after(&self.ends().await?)
    }
}

/// All of it in one transaction.
struct Settle<'a> {
    lane: String,
    tag: String,
    now: &'a Now,
    at: UnixTime,
    event: AuditEvent,
    marks: Vec<Mark>,
    has_old: bool,
    lost_rows: u64,
}

#[async_trait]
impl Change for Settle<'_> {
    type Outcome = SetBack;
    type Refusal = Infallible;

    async fn make(&self, connection: &mut Connection<'_>) -> Result<Result<SetBack, Infallible>> {
        let floors = self.floors(connection).await?;
        let pending = certificates(connection, PENDING).await?;
        let revoked = if self.has_old {
            certificates(connection, OLD_REVOCATIONS).await?
        } else {
            Vec::new()
        };
        let sessions = count(connection, OPEN_SESSIONS).await?;
        let logins = count(connection, LOGINS).await?;
        let credentials = count(connection, CREDENTIALS).await?;
        for end in [END_SESSIONS, END_RESERVATIONS, END_LOGINS, END_CREDENTIALS] {
            query(end).execute(connection).await.map_err(failed)?;
        }
        let at = self.at.unix();
        query(ABORT_PENDING).bind(at).execute(connection).await.map_err(failed)?;
        if self.has_old {
            for take in TAKE_OVER {
                query(take).execute(connection).await.map_err(failed)?;
            }
            query(REVOKE_UNKNOWN).bind(at).execute(connection).await.map_err(failed)?;
        }
        query(REMEMBER)
            .bind(self.tag.as_str())
            .bind(at)
            .bind(stored(floors.crl)?)
            .bind(stored(floors.config)?)
            .execute(connection)
            .await
            .map_err(failed)?;
        let done = SetBack {
            sessions,
            logins,
            credentials,
            aborted: counted(&pending),
            revoked: counted(&revoked),
            accepted: count(connection, CURRENT).await?,
            lost_rows: self.lost_rows,
            is_complete: self.has_old,
            crl_floor: floors.crl,
            config_floor: floors.config,
            lane: self.lane.clone(),
        };
        let rows = self.rows(&done, &pending, &revoked);
        audit::append(connection, &self.lane, None, self.now, &rows).await?;
        Ok(Ok(done))
    }
}

impl Settle<'_> {
    /// Numbers that the time which is lost cannot have reached: lists and configurations are made less than once
    /// a second, so that no number has come up with the time.
    async fn floors(&self, connection: &mut Connection<'_>) -> Result<Floors> {
        let time = u64::try_from(self.at.unix()).unwrap_or(0);
        if time < latest(connection).await? {
            let context = "the clock of this machine is behind the last row of the database";
            return Err(PersistenceError::new(ErrorCode::StateConflict, context));
        }
        let config = count(connection, HIGHEST_VERSION).await?.max(time);
        let present = crl_number(connection).await?.max(time);
        let crl = self.marks.iter().map(|mark| mark.crl_number).fold(present, u64::max);
        Ok(Floors { crl, config })
    }

    fn rows(
        &self,
        done: &SetBack,
        pending: &[Certificate],
        revoked: &[Certificate],
    ) -> Vec<AuditEvent> {
        let first = self
            .event
            .clone()
            .with("sessionsEnded", done.sessions)
            .with("loginsEnded", done.logins)
            .with("credentialsEnded", done.credentials)
            .with("certificatesAborted", done.aborted)
            .with("certificatesRevoked", done.revoked)
            .with("rowsLost", done.lost_rows)
            .with("oldRecord", if done.is_complete { "read" } else { "unknown" })
            .with("crlNumberAbove", done.crl_floor)
            .with("configVersionAbove", done.config_floor);
        let row = |event, of: &Certificate| {
            AuditEvent::new(event, Actor::System)
                .device(&of.device)
                .session(of.session)
                .with("serial", of.serial)
        };
        let aborted = pending.iter().map(|of| row(EventType::CertificateAborted, of));
        let revoked = revoked
            .iter()
            .map(|of| row(EventType::CertificateRevoked, of).with("reason", "set_back"));
        core::iter::once(first).chain(aborted).chain(revoked).collect()
    }
}

/// Numbers below which none is given out.
struct Floors {
    crl: u64,
    config: u64,
}

/// A certificate as far as a row names it.
struct Certificate {
    serial: Serial,
    session: SessionId,
    device: DeviceId,
}

async fn certificates(
    connection: &mut Connection<'_>,
    statement: &'static str,
) -> Result<Vec<Certificate>> {
    let rows = query(statement).fetch_all(connection).await.map_err(failed)?;
    rows.iter().map(certificate).collect()
}

fn certificate(row: &Row) -> Result<Certificate> {
    let damaged = |column| PersistenceError::corrupt(format!("certificates.{column}"));
    let serial: &[u8] = row.at(0).map_err(failed)?;
    let session: &[u8] = row.at(1).map_err(failed)?;
    let session = session.try_into().map_err(|_| damaged("session"))?;
    let device: &str = row.at(2).map_err(failed)?;
    Ok(Certificate {
        serial: Serial::from_bytes(serial).map_err(|_| damaged("serial"))?,
        session: SessionId::from_bytes(session),
        device: DeviceId::parse(device).map_err(|_| damaged("device_id"))?,
    })
}

/// The time of the newest row of the log, in seconds.
async fn latest(connection: &mut Connection<'_>) -> Result<u64> {
    let millis: Option<i64> = query("SELECT max(timestamp) FROM security_audit_log")
        .fetch_value(connection)
        .await
        .map_err(failed)?;
    Ok(u64::try_from(millis.unwrap_or(0) / 1000).unwrap_or(0))
}

async fn count(connection: &mut Connection<'_>, statement: &'static str) -> Result<u64> {
    let count: Option<i64> = query(statement).fetch_value(connection).await.map_err(failed)?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}

fn counted(certificates: &[Certificate]) -> u64 {
    u64::try_from(certificates.len()).unwrap_or(u64::MAX)
}

fn stored(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| PersistenceError::corrupt("a number is too large"))
}

fn failed(error: sqlx::Error) -> PersistenceError {
    PersistenceError::database("the database cannot be set back", error)
}
