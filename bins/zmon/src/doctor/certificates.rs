//! Certificates as files: of a station's authority, of a device's anchors.

use std::{fs, path::Path};

use zmon_crypto::{CertificateChain, x509::validity_of};
use zmon_domain::{error::Side, time::UnixTime};
use zmon_persistence::{Protection, read_file};

use super::{finding::Finding, place::Place};

const CHECK: &str = "certificates";
/// Longest certificate file, in bytes.
const PEM_MAX: usize = 65_536;
/// A certificate that ends sooner should be renewed now, in days.
const SOON: i64 = 14;
const DAY: i64 = 86_400;

/// Every certificate that lies in the directory, by the days that it has left.
pub(super) fn look(place: &Place, now: Option<UnixTime>) -> Vec<Finding> {
    let is_device = place.side == Side::Device;
    let folder = if is_device { place.dir.join("anchors") } else { place.dir.clone() };
    let mut names: Vec<_> = match fs::read_dir(&folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(_) => Vec::new(),
    };
    names.retain(|path| path.extension().is_some_and(|extension| extension == "pem"));
    names.sort();
    if names.is_empty() {
        return vec![if is_device {
            Finding::note(CHECK, "no anchor: an operator confirms the station")
        } else {
            Finding::problem(
                CHECK,
                "no certificate of the station is there",
                "Restore a backup, or make the station anew with mock-central-station init.",
            )
        }];
    }
    names.iter().map(|path| one(path, now)).collect()
}

fn one(path: &Path, now: Option<UnixTime>) -> Finding {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unreadable = |cause: String| {
        Finding::problem(
            CHECK,
            format!("{name}: {cause}"),
            "Put the right certificate in its place.",
        )
    };
    let pem = match read_file(path, PEM_MAX, Protection::Regular) {
        Ok(pem) => pem,
        Err(error) => return unreadable(error.describe()),
    };
    let validity = CertificateChain::from_pem(&pem).and_then(|chain| validity_of(chain.leaf()));
    match (validity, now) {
        (Ok(validity), Some(now)) => left(&name, validity.not_before(), validity.not_after(), now),
        (Ok(_), None) => Finding::note(CHECK, format!("{name}: without a clock nobody can tell")),
        (Err(fault), _) => unreadable(fault.to_string()),
    }
}

/// A certificate by its time.
pub(super) fn left(name: &str, from: UnixTime, until: UnixTime, now: UnixTime) -> Finding {
    let days = (until.unix() - now.unix()).div_euclid(DAY);
    let seen = format!("{name}: until {until}, {days} days");
    let next = "Make a new one: see Certificates and Make a station in docs/guide-operations.md.";
    if now < from {
        let seen = format!("{name}: not valid before {from}");
        return Finding::problem(CHECK, seen, "Check the clock of this machine.");
    }
    if now > until {
        return Finding::problem(CHECK, format!("{name}: expired at {until}"), next);
    }
    if days < SOON { Finding::warning(CHECK, seen, next) } else { Finding::ok(CHECK, seen) }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Level, *};

    #[test]
    fn days_are_counted_before_during_and_after() {
        let at = |days: i64| UnixTime::from_unix(2_000_000_000 + days * DAY).unwrap();
        let level = |now| left("server.pem", at(0), at(90), now).level;
        assert_eq!(level(at(-1)), Level::Problem);
        assert_eq!(level(at(0)), Level::Ok);
        assert_eq!(level(at(76)), Level::Ok);
        assert_eq!(level(at(77)), Level::Warning);
        assert_eq!(level(at(90)), Level::Warning);
        assert_eq!(level(at(91)), Level::Problem);
        assert!(left("server.pem", at(0), at(90), at(1)).seen.ends_with("89 days"));
    }

    #[test]
    fn what_is_no_certificate_is_a_problem_by_name() {
        let home = tempfile::tempdir().unwrap();
        let place = Place {
            dir: home.path().to_owned(),
            side: Side::Station,
            settings: Ok(toml::Table::new()),
        };
        let now = UnixTime::from_unix(1_800_000_000);
        assert_eq!(look(&place, now)[0].level, Level::Problem, "none");
        fs::write(home.path().join("server.pem"), "no certificate").unwrap();
        let pem = include_str!("../../../device/tests/anchor.pem");
        fs::write(home.path().join("anchor.pem"), pem).unwrap();
        let found = look(&place, now);
        assert_eq!(found.len(), 2);
        assert!(found[0].seen.starts_with("anchor.pem: "), "{found:?}");
        assert_eq!(found[1].level, Level::Problem);
        assert!(found[1].seen.starts_with("server.pem: "), "{found:?}");
        assert_eq!(look(&place, None)[0].level, Level::Note);
    }
}
