//! Where a database of PostgreSQL is and who asks, from one line.

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;
use zmon_domain::error::FieldError;

const FIELD: &str = "database";
const FORM: &str = "must be postgres://USER[:PASSWORD]@HOST[:PORT]/NAME";
const PARAMETERS: &str = "must have no parameters but sslmode and sslrootcert, each once";
const MODES: &str = "must have sslmode disable, prefer, require, verify-ca or verify-full";
const FAR: &str = "must have sslmode verify-full unless the host is this machine";

/// `postgres://USER[:PASSWORD]@HOST[:PORT]/NAME[?sslmode=MODE][&sslrootcert=FILE]`.
///
/// To another machine the connection is TLS with a certificate for HOST that the system's roots, or
/// those of `sslrootcert`, vouch for; what else is asked for is refused. On this machine the default is
/// `prefer`. A password that is not in the URL is taken from `PGPASSWORD` or `~/.pgpass`, as every
/// client of PostgreSQL does. `Debug` and `Display` show host, port and name only.
#[derive(Clone)]
pub struct PostgresUrl {
    options: PgConnectOptions,
    place: String,
}

impl PostgresUrl {
    /// Reads the URL.
    ///
    /// # Errors
    /// The rule it breaks; never a part of the URL.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let broken = |rule| FieldError::new(FIELD, rule);
        let url = Url::parse(text).map_err(|_| broken(FORM))?;
        if !["postgres", "postgresql"].contains(&url.scheme()) || url.fragment().is_some() {
            return Err(broken(FORM));
        }
        let name = url.path().strip_prefix('/').filter(|name| !name.is_empty());
        let (Some(host), Some(name), false) = (url.host_str(), name, url.username().is_empty())
        else {
            return Err(broken(FORM));
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains('%') || name.contains('/') {
            return Err(broken(FORM));
        }
        let given = mode(&url)?;
        let near = is_this_machine(host);
        let mode = match (given, near) {
            (None, true) => PgSslMode::Prefer,
            (None | Some(PgSslMode::VerifyFull), false) => PgSslMode::VerifyFull,
            (Some(mode), true) => mode,
            (Some(_), false) => return Err(broken(FAR)),
        };
        // What is percent-encoded in it is decoded there.
        let options = PgConnectOptions::from_url(&url).map_err(|_| broken(FORM))?;
        let options = options.host(host).port(url.port().unwrap_or(PORT)).ssl_mode(mode);
        let place = format!("{}:{}/{name}", url.host_str().unwrap_or(host), options.get_port());
        Ok(Self { options, place })
    }

    /// How to connect.
    pub(super) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }
}

/// The port of PostgreSQL, registered with IANA.
const PORT: u16 = 5432;

/// The mode that the URL asks for, if it does; every parameter is known and stands once.
fn mode(url: &Url) -> Result<Option<PgSslMode>, FieldError> {
    let broken = |rule| FieldError::new(FIELD, rule);
    let (mut mode, mut roots) = (None, None);
    for (key, value) in url.query_pairs() {
        let twice = match &*key {
            "sslmode" => {
                let read = PgSslMode::from_str(&value).ok();
                // "allow" says that plain text is as good.
                let read = read.filter(|read| !matches!(read, PgSslMode::Allow));
                mode.replace(read.ok_or_else(|| broken(MODES))?).is_some()
            }
            "sslrootcert" => roots.replace(value.into_owned()).is_some(),
            _ => true,
        };
        if twice {
            return Err(broken(PARAMETERS));
        }
    }
    Ok(mode)
}

/// Whether what is sent to `host` never leaves this machine.
fn is_this_machine(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost",
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresUrl").field(&self.place).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(text: &str) -> String {
        format!("{:?}", PostgresUrl::parse(text).unwrap().options.get_ssl_mode())
    }

    #[test]
    fn this_machine_prefers_tls_and_every_other_proves_who_it_is() {
        for near in ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"] {
            assert_eq!(mode_of(&format!("postgres://u@{near}/d")), "Prefer", "{near}");
            assert_eq!(mode_of(&format!("postgres://u@{near}/d?sslmode=disable")), "Disable");
        }
        for far in ["10.0.0.1", "[fd00::1]", "db.hospital.example", "localhost.example", "0.0.0.0"]
        {
            assert_eq!(mode_of(&format!("postgres://u@{far}/d")), "VerifyFull", "{far}");
            for weaker in ["disable", "prefer", "require", "verify-ca"] {
                let refused = PostgresUrl::parse(&format!("postgres://u@{far}/d?sslmode={weaker}"));
                assert_eq!(refused.unwrap_err().rule(), FAR, "{far} {weaker}");
            }
        }
    }

    #[test]
    fn what_is_encoded_in_it_is_decoded() {
        let url = PostgresUrl::parse("postgresql://us%40er:p%2Fw@[::1]:6000/na%20me").unwrap();
        assert_eq!(url.options.get_username(), "us@er");
        assert_eq!(url.options.get_database(), Some("na me"));
        assert_eq!((url.options.get_host(), url.options.get_port()), ("::1", 6000));
        assert_eq!(url.to_string(), "[::1]:6000/na%20me");
        let default = PostgresUrl::parse("postgres://u@localhost/d").unwrap();
        assert_eq!(default.to_string(), "localhost:5432/d");
    }

    #[test]
    fn a_wrong_url_is_refused_by_its_rule_and_never_shown() {
        for (text, rule) in [
            ("", FORM),
            ("station.db", FORM),
            ("sqlite:///station.db", FORM),
            ("mysql://u:hunter2@h/d", FORM),
            ("postgres://u:hunter2@/d", FORM),
            ("postgres://:hunter2@127.0.0.1/d", FORM),
            ("postgres://u:hunter2@127.0.0.1", FORM),
            ("postgres://u:hunter2@127.0.0.1/", FORM),
            ("postgres://u:hunter2@127.0.0.1/a/b", FORM),
            ("postgres://u:hunter2@127.0.0.1/d#x", FORM),
            ("postgres://u:hunter2@127.0.0.1:99999/d", FORM),
            ("postgres://u:hunter2@%2Frun%2Fpostgresql/d", FORM),
            ("postgres://u:hunter2@127.0.0.1/d?password=hunter2", PARAMETERS),
            ("postgres://u:hunter2@127.0.0.1/d?host=10.0.0.1", PARAMETERS),
            ("postgres://u:hunter2@127.0.0.1/d?sslmode=prefer&sslmode=disable", PARAMETERS),
            ("postgres://u:hunter2@127.0.0.1/d?sslmode=allow", MODES),
            ("postgres://u:hunter2@127.0.0.1/d?sslmode=hunter2", MODES),
        ] {
            let error = PostgresUrl::parse(text).unwrap_err();
            assert_eq!((error.field(), error.rule()), (FIELD, rule), "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        let url = PostgresUrl::parse("postgres://user:hunter2@127.0.0.1/d").unwrap();
        let shown = format!("{url} {url:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("user"), "{shown}");
    }
}
