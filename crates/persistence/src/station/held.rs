//! What is kept of running sessions: sealed under a key that is not in the database, and erased with the
//! session's end by the schema itself.

use std::sync::Arc;

use zmon_crypto::{RootSecret, SecretBytes};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::SessionId;
use zmon_station::ports::{Entropy, Refusal, SessionState};

use super::apply::Stop;
use super::decode::{Columns, failed};
use super::sessions;
use crate::error::{PersistenceError, Result};
use crate::seal;
use crate::sql::{Connection, query};

/// The name of the table, and the first part of what a sealed value is bound to.
const TABLE: &str = "session_states";

/// Nothing for a session that has ended.
const KEEP: &str = "INSERT INTO session_states (session_id, sealed) \
     SELECT id, $2 FROM sessions \
     WHERE id = $1 AND phase NOT IN ('paired', 'failed', 'released') \
     ON CONFLICT (session_id) DO UPDATE SET sealed = excluded.sealed";

/// Seals what is kept of sessions, each under a key of its own.
pub(super) struct Sealer {
    pub(super) root: RootSecret,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl Sealer {
    fn seal(&self, id: &SessionId, state: &SessionState) -> Result<Vec<u8>> {
        let key = self.root.held_session_key(id);
        seal::seal(&key, &aad(id), state.expose(), self.entropy.generator().as_mut())
    }

    pub(super) fn open(&self, id: &SessionId, sealed: &[u8]) -> Result<SessionState> {
        let opened = seal::open(&self.root.held_session_key(id), &aad(id), sealed, TABLE)?;
        Ok(SessionState::new(SecretBytes::copy_from(&opened)))
    }
}

/// A store without the station's root secret neither keeps nor reads what is secret.
pub(super) fn no_secret() -> PersistenceError {
    PersistenceError::new(ErrorCode::KeyStoreUnavailable, "the station's root secret is not there")
}

fn aad(id: &SessionId) -> Vec<u8> {
    [TABLE.as_bytes(), b"|", id.as_bytes()].concat()
}

pub(super) async fn keep(
    connection: &mut Connection<'_>,
    sealer: Option<&Sealer>,
    id: &SessionId,
    state: &SessionState,
) -> Result<(), Stop> {
    let sealed = sealer.ok_or_else(no_secret)?.seal(id, state)?;
    let kept = query(KEEP)
        .bind(id.as_bytes().as_slice())
        .bind(sealed.as_slice())
        .execute(connection)
        .await
        .map_err(failed(TABLE))?;
    if kept == 1 {
        return Ok(());
    }
    let phase = sessions::session(connection, id).await?.map(|row| row.phase);
    Err(Stop::Refused(Refusal::SessionEnded(phase)))
}

pub(super) async fn erase(connection: &mut Connection<'_>, id: &SessionId) -> Result<()> {
    query("DELETE FROM session_states WHERE session_id = $1")
        .bind(id.as_bytes().as_slice())
        .execute(connection)
        .await
        .map_err(failed(TABLE))?;
    Ok(())
}

/// The sealed bytes.
pub(super) async fn sealed(
    connection: &mut Connection<'_>,
    id: &SessionId,
) -> Result<Option<Vec<u8>>> {
    let row = query("SELECT sealed FROM session_states WHERE session_id = $1")
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(failed(TABLE))?;
    row.map(|row| Columns { table: TABLE, row: &row }.raw("sealed")).transpose()
}
