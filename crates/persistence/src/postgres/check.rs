//! What is looked at before anything of a database is believed.

use sqlx::PgConnection;
use zmon_crypto::sha256;

use super::connect::answered;
use super::schema;
use crate::error::{PersistenceError, Result};
use crate::hex;

/// Whether migrations were ever run here.
const HAS_VERSIONS: &str = "SELECT to_regclass('public._sqlx_migrations') IS NOT NULL";

/// How many tables and views there are besides those of extensions.
const RELATIONS: &str = "SELECT count(*) FROM pg_class c \
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
     AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')";

const NEWEST: &str = "SELECT max(version) FROM _sqlx_migrations";

/// Tables, columns, constraints, indexes, triggers (and whether they fire), functions and rules, a line
/// each, without sqlx's own table and without extensions.
pub(super) const OURS: &str = r#"
    WITH ours AS (
        SELECT c.oid, c.relname, c.relkind, c.relrowsecurity FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> '_sqlx_migrations'
        AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    )
    SELECT line FROM (
        SELECT format('relation %s kind %s%s', relname, relkind,
            CASE WHEN relrowsecurity THEN ' with policies' END) AS line FROM ours
        UNION ALL
        SELECT format('column %s.%s %s%s%s%s%s', o.relname, a.attname,
            format_type(a.atttypid, a.atttypmod),
            CASE WHEN a.attcollation = 0 THEN '' ELSE ' ' || CAST(a.attcollation::regcollation AS text) END,
            CASE WHEN a.attnotnull THEN ' NOT NULL' END,
            CASE WHEN a.attidentity <> '' THEN ' identity ' || CAST(a.attidentity AS text) END,
            ' ' || pg_get_expr(f.adbin, f.adrelid))
        FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
        UNION ALL
        SELECT format('constraint %s.%s %s', o.relname, k.conname, pg_get_constraintdef(k.oid))
        FROM ours o JOIN pg_constraint k ON k.conrelid = o.oid AND k.contype IN ('c', 'f', 'p', 'u')
        UNION ALL
        SELECT 'index ' || pg_get_indexdef(i.indexrelid) FROM ours o JOIN pg_index i ON i.indrelid = o.oid
        UNION ALL
        SELECT format('trigger %s %s', t.tgenabled, pg_get_triggerdef(t.oid))
        FROM ours o JOIN pg_trigger t ON t.tgrelid = o.oid AND NOT t.tgisinternal
        UNION ALL
        SELECT 'rule ' || pg_get_ruledef(r.oid)
        FROM ours o JOIN pg_rewrite r ON r.ev_class = o.oid AND r.rulename <> '_RETURN'
        UNION ALL
        SELECT format('function %s %s', p.proname, p.prosrc) FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    ) AS lines ORDER BY line COLLATE "C""#;

/// The schema's number, before a single row is interpreted: a newer one is refused, and so is a database
/// that another program has filled. `false` for an empty one.
pub(super) async fn recorded(connection: &mut PgConnection, place: &str) -> Result<bool> {
    let fail = |error| {
        PersistenceError::database(format!("{place}: the schema version cannot be read"), error)
    };
    let is_versioned: bool = answered(sqlx::query_scalar(HAS_VERSIONS).fetch_one(&mut *connection))
        .await
        .map_err(fail)?;
    if !is_versioned {
        let relations: i64 =
            answered(sqlx::query_scalar(RELATIONS).fetch_one(connection)).await.map_err(fail)?;
        if relations > 0 {
            let context = format!("{place}: the database of another program");
            return Err(PersistenceError::corrupt(context));
        }
        return Ok(false);
    }
    let newest: Option<i64> =
        answered(sqlx::query_scalar(NEWEST).fetch_one(connection)).await.map_err(fail)?;
    let (found, supported) = (newest.unwrap_or(0), schema::version());
    if found > supported {
        return Err(PersistenceError::newer(place, found, supported));
    }
    Ok(true)
}

/// Compares what is there with what the migrations make: a log without the triggers that keep it
/// append-only is not written to.
pub(super) async fn shape(connection: &mut PgConnection, place: &str) -> Result<()> {
    let lines: Vec<String> =
        answered(sqlx::query_scalar(OURS).fetch_all(connection)).await.map_err(|error| {
            PersistenceError::database(format!("{place}: the schema cannot be read"), error)
        })?;
    let found = hex::encode(&sha256(lines.join("\n").as_bytes()));
    if found == schema::SHAPE {
        return Ok(());
    }
    Err(PersistenceError::corrupt(format!("{place}: not the schema of this program ({found})")))
}
