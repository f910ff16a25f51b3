//! A statement with its values.

use std::borrow::Cow;

#[cfg(feature = "postgres")]
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query as Bound;
use sqlx::sqlite::{Sqlite, SqliteArguments};

use super::{Column, Connection, Row};
#[cfg(feature = "postgres")]
use crate::postgres::answered;

/// A value for a placeholder. Its SQL type is known even when it is null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'q> {
    Flag(bool),
    Number(Option<i64>),
    Text(Option<Cow<'q, str>>),
    Bytes(Option<&'q [u8]>),
}

/// A statement that both databases understand, with values for `$1`, `$2`, …
#[derive(Debug, Clone)]
pub(crate) struct Query<'q> {
    sql: &'static str,
    values: Vec<Value<'q>>,
}

/// A statement without values yet.
pub(crate) const fn query<'q>(sql: &'static str) -> Query<'q> {
    Query { sql, values: Vec::new() }
}

/// Binds the values of `$query` to a statement of one database.
macro_rules! bound {
    ($query:ident) => {{
        let mut bound = sqlx::query($query.sql);
        for value in $query.values {
            bound = match value {
                Value::Flag(value) => bound.bind(value),
                Value::Number(value) => bound.bind(value),
                Value::Text(value) => bound.bind(value),
                Value::Bytes(value) => bound.bind(value),
            };
        }
        bound
    }};
}

impl<'q> Query<'q> {
    /// The value of the next placeholder.
    pub(crate) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Carries it out; how many rows it changed.
    pub(crate) async fn execute(self, connection: &mut Connection<'_>) -> sqlx::Result<u64> {
        match connection {
            Connection::Sqlite(connection) => {
                let done = self.sqlite().execute(&mut **connection).await?;
                Ok(done.rows_affected())
            }
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => {
                let done = answered(self.postgres().execute(&mut **connection)).await?;
                Ok(done.rows_affected())
            }
        }
    }

    /// Its rows.
    pub(crate) async fn fetch_all(self, connection: &mut Connection<'_>) -> sqlx::Result<Vec<Row>> {
        match connection {
            Connection::Sqlite(connection) => {
                let rows = self.sqlite().fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => {
                let rows = answered(self.postgres().fetch_all(&mut **connection)).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// Its first row, if there is one.
    pub(crate) async fn fetch_optional(
        self,
        connection: &mut Connection<'_>,
    ) -> sqlx::Result<Option<Row>> {
        match connection {
            Connection::Sqlite(connection) => {
                let row = self.sqlite().fetch_optional(&mut **connection).await?;
                Ok(row.map(Row::Sqlite))
            }
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => {
                let row = answered(self.postgres().fetch_optional(&mut **connection)).await?;
                Ok(row.map(Row::Postgres))
            }
        }
    }

    /// The first column of its first row; `None` for no row and for a null.
    pub(crate) async fn fetch_value<T>(
        self,
        connection: &mut Connection<'_>,
    ) -> sqlx::Result<Option<T>>
    where
        T: for<'r> Column<'r>,
    {
        match self.fetch_optional(connection).await? {
            Some(row) => row.at(0),
            None => Ok(None),
        }
    }

    fn sqlite(self) -> Bound<'static, Sqlite, SqliteArguments> {
        bound!(self)
    }

    #[cfg(feature = "postgres")]
    fn postgres(self) -> Bound<'static, Postgres, PgArguments> {
        bound!(self)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Number(Some(value))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Number(value)
    }
}

impl<'q> From<&'q str> for Value<'q> {
    fn from(value: &'q str) -> Self {
        Self::Text(Some(Cow::Borrowed(value)))
    }
}

impl<'q> From<Option<&'q str>> for Value<'q> {
    fn from(value: Option<&'q str>) -> Self {
        Self::Text(value.map(Cow::Borrowed))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(value: Option<String>) -> Self {
        Self::Text(value.map(Cow::Owned))
    }
}

impl<'q> From<&'q [u8]> for Value<'q> {
    fn from(value: &'q [u8]) -> Self {
        Self::Bytes(Some(value))
    }
}

impl<'q> From<Option<&'q [u8]>> for Value<'q> {
    fn from(value: Option<&'q [u8]>) -> Self {
        Self::Bytes(value)
    }
}
