//! What must hold when everybody has done what they could: by the database, by the station's log, by every
//! device itself.

use core::fmt::Write;
use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;
use zmon_domain::state::ProvisioningState;
use zmon_testkit::{SimulatedDevice, binary};

use super::fleet::Fleet;
use super::technician::Told;

/// How a device ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) id: String,
    pub(crate) told: Told,
    pub(crate) state: ProvisioningState,
    /// Whether its heartbeats are answered.
    pub(crate) connected: bool,
    /// Serial number of the certificate in its active slot.
    pub(crate) serial: Option<String>,
    /// Rows of its audit log, if that is whole.
    pub(crate) rows: Option<u64>,
}

impl End {
    pub(crate) async fn of(device: &SimulatedDevice, told: Told) -> Self {
        let boot = device.store().load().await.expect("the slots are read");
        let log = device.store().verify_audit().await.expect("the log is read");
        Self {
            id: device.id().to_string(),
            told,
            state: device.state(),
            connected: device.link().borrow().connected,
            serial: boot.slot_a.map(|slot| slot.serial.to_string()),
            rows: log.is_intact().then(|| log.rows()),
        }
    }
}

/// What is found out about the station.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Serial numbers of current certificates by device.
    pub(crate) current: BTreeMap<String, Vec<String>>,
    /// Certificates that are pending, sessions without an end, and secrets of sessions.
    pub(crate) left: [i64; 3],
    /// What `zmon audit verify` says of the log.
    pub(crate) log: Value,
}

impl Record {
    pub(crate) async fn of(fleet: &Fleet) -> Self {
        let database = &fleet.database;
        let mut current = BTreeMap::<String, Vec<String>>::new();
        let pairs = "SELECT device_id, encode(serial, 'hex') FROM certificates \
             WHERE state = 'current' ORDER BY serial";
        for (device, serial) in database.pairs(pairs).await {
            current.entry(device).or_default().push(serial);
        }
        let left = [
            "SELECT count(*) FROM certificates WHERE state = 'pending'",
            "SELECT count(*) FROM sessions WHERE phase NOT IN ('paired', 'failed', 'released')",
            "SELECT count(*) FROM session_states",
        ];
        let mut counted = [0; 3];
        for (count, query) in counted.iter_mut().zip(left) {
            *count = database.number(query).await;
        }
        Self { current, left: counted, log: verified(fleet) }
    }
}

/// `zmon audit verify`, as an auditor runs it.
fn verified(fleet: &Fleet) -> Value {
    let output = Command::new(binary("zmon", "zmon"))
        .env_clear()
        .args(["--json", "audit", "verify"])
        .arg(fleet.station.directory())
        .arg("--database")
        .arg(fleet.database.url())
        .output()
        .expect("the program runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Everything that is not as it must be, a line each.
pub(crate) fn breaks(ends: &[End], record: &Record) -> Vec<String> {
    let mut broken: Vec<String> = ends.iter().filter_map(|end| broken(end, record)).collect();
    let [pending, open, secrets] = record.left;
    for (count, what) in [
        (pending, "certificates are pending"),
        (open, "sessions have no end"),
        (secrets, "ended sessions have left secrets"),
    ] {
        if count != 0 {
            broken.push(format!("station: {count} {what}"));
        }
    }
    let known = |id: &String| ends.iter().any(|end| end.id == *id);
    for id in record.current.keys().filter(|id| !known(id)) {
        broken.push(format!("station: a certificate of {id}, which is none of these"));
    }
    if record.log["success"] != true {
        broken.push(format!("station: its log: {}", record.log));
    }
    broken
}

fn broken(end: &End, record: &Record) -> Option<String> {
    let End { id, told, state, connected, serial, rows } = end;
    let current = record.current.get(id).map_or(&[][..], Vec::as_slice);
    let mut wrong = String::new();
    let is_provisioned = *state == ProvisioningState::Provisioned;
    let mut must = |holds: bool, what: &str| {
        if !holds {
            write!(wrong, ", {what}").expect("a text grows");
        }
    };
    match told {
        Told::Paired => {
            must(is_provisioned && *connected, "paired, and not provisioned and connected");
            must(current.len() == 1, "not exactly one current certificate");
            let same = serial.as_ref().is_some_and(|serial| current.contains(serial));
            must(same, "another certificate than the station has");
        }
        Told::Refused(_) => {
            must(!is_provisioned && serial.is_none(), "refused, and provisioned all the same");
            must(current.is_empty(), "refused, and has a current certificate");
        }
        Told::Nothing => must(false, "neither provisioned nor refused with a reason"),
    }
    must(rows.is_some(), "its audit log is damaged");
    (!wrong.is_empty())
        .then(|| format!("{id}: {told:?}, {state:?}, slot {serial:?}, current {current:?}{wrong}"))
}
