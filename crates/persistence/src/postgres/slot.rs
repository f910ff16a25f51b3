//! Connections in their places, and lent.

use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::postgres::PgConnection;
use tokio::sync::{Mutex, MutexGuard};
use zmon_domain::error::ErrorCode;

use super::error::was_cut;
use crate::error::{PersistenceError, Result};

/// The place of one connection.
#[derive(Default)]
pub(super) struct Slot {
    connection: Mutex<Option<PgConnection>>,
    /// How often a connection could not be made.
    failures: AtomicUsize,
}

impl Slot {
    /// Puts a first connection there.
    pub(super) async fn fill(&self, connection: PgConnection) {
        *self.connection.lock().await = Some(connection);
    }

    /// Its connection, or a new one. Whoever has waited while one could not be made hears so, and does
    /// not wait for the next one to fail.
    pub(super) async fn lend(
        &self,
        connect: impl Future<Output = Result<PgConnection>>,
    ) -> Result<Lease<'_>> {
        let before = self.failures.load(Ordering::Acquire);
        let mut place = self.connection.lock().await;
        if let Some(connection) = place.take() {
            return Ok(Lease { place, connection, is_new: false });
        }
        if self.failures.load(Ordering::Acquire) != before {
            let context = "the database could not be reached just now";
            return Err(PersistenceError::new(ErrorCode::StorageUnavailable, context));
        }
        match connect.await {
            Ok(connection) => Ok(Lease { place, connection, is_new: true }),
            Err(error) => {
                self.failures.fetch_add(1, Ordering::AcqRel);
                Err(error)
            }
        }
    }
}

/// A connection that is lent. One that is not given back is closed: whoever had it may have gone away in
/// the middle of an answer.
pub(crate) struct Lease<'d> {
    place: MutexGuard<'d, Option<PgConnection>>,
    pub(super) connection: PgConnection,
    pub(super) is_new: bool,
}

impl Lease<'_> {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Whether the connection had been cut before it was lent.
    pub(crate) fn was_cut(&self, error: &PersistenceError) -> bool {
        !self.is_new && was_cut(error)
    }

    pub(crate) fn give_back(mut self) {
        *self.place = Some(self.connection);
    }

    /// Closes the connection, then makes another one.
    pub(super) async fn renew(
        self,
        connect: impl Future<Output = Result<PgConnection>>,
    ) -> Result<Self> {
        let Self { place, connection, .. } = self;
        drop(connection);
        Ok(Self { place, connection: connect.await?, is_new: true })
    }
}
