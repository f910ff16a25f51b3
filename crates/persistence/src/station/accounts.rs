//! What an administrator changes about accounts.

use zmon_domain::ids::OperatorId;
use zmon_station::ports::Refusal;

use super::apply::Stop;
use super::decode::failed;
use super::registry;
use crate::error::Result;
use crate::sql::{Connection, query};

/// A password that opens nothing but its own change; every login ends.
pub(super) async fn set_one_time_password(
    connection: &mut Connection<'_>,
    operator: &OperatorId,
    hash: &str,
) -> Result<(), Stop> {
    let changed = query("UPDATE operators SET password_hash = $2, one_time = 1 WHERE id = $1")
        .bind(operator.as_str())
        .bind(hash)
        .execute(connection)
        .await
        .map_err(failed("operators"))?;
    if changed != 1 {
        return Err(Stop::Refused(Refusal::OperatorUnknown));
    }
    Ok(end_logins(connection, operator).await?)
}

/// One conditional statement: two administrators who bar each other leave one of them.
pub(super) async fn set_access(
    connection: &mut Connection<'_>,
    operator: &OperatorId,
    disabled: bool,
) -> Result<(), Stop> {
    let changed = query(
        "UPDATE operators SET disabled = $2 WHERE id = $1 AND ($2 = 0 OR role <> 'administrator' \
         OR EXISTS (SELECT 1 FROM operators WHERE role = 'administrator' AND disabled = 0 \
         AND id <> $1))",
    )
    .bind(operator.as_str())
    .bind(i64::from(disabled))
    .execute(connection)
    .await
    .map_err(failed("operators"))?;
    if changed != 1 {
        let known = registry::operator(connection, operator).await?.is_some();
        let refusal = if known { Refusal::LastAdministrator } else { Refusal::OperatorUnknown };
        return Err(Stop::Refused(refusal));
    }
    if disabled {
        end_logins(connection, operator).await?;
    }
    Ok(())
}

async fn end_logins(connection: &mut Connection<'_>, operator: &OperatorId) -> Result<()> {
    query("DELETE FROM logins WHERE operator = $1")
        .bind(operator.as_str())
        .execute(connection)
        .await
        .map_err(failed("logins"))?;
    Ok(())
}
