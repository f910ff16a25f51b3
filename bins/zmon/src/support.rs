//! `zmon support-bundle`: one file for whoever helps. What goes into it is named here, by an allow-list: no
//! file of the directory is copied, and no setting that is not on the list.

use std::{collections::VecDeque, fs, io::Write, os::unix::fs::MetadataExt, path::Path};

use serde::Serialize;
use serde_json::{Map, Value, json};
use tar::{Builder, EntryType, Header};
use zmon_cli::{Failure, Streams, files::cannot};
use zmon_domain::{address::ServerUrl, error::Side, hex};
use zmon_persistence::{AuditExport, ExportedRow, PersistenceError, Protection, read_file};
use zmon_transport::paths;
use zmon_wire::kind::True;

use crate::{
    clock,
    doctor::{self, Place},
    draft::Draft,
    station,
};

/// Settings whose values say nothing that opens anything. `database` is shown without user and password; the rest,
/// and whatever a later version adds, is left out.
const SETTINGS: [&str; 32] = [
    // Of a station.
    "station_id",
    "station_name",
    "site",
    "listen",
    "device_listen",
    "server_names",
    "device_networks",
    "unregistered_devices",
    "device_trust",
    "factory_anchors",
    "recovery",
    "station_made_keys",
    "proximity",
    "suites",
    "batch_concurrency",
    "metrics_token_file",
    "instance",
    "log",
    "log_format",
    // Of a device.
    "device_id",
    "device_serial",
    "firmware_version",
    "code_format",
    "window_minutes",
    "address",
    "screen",
    "control",
    "manual_configuration",
    "clock",
    "interlock",
    "mdns",
    "courier_folder",
];

/// Longest certificate or token file, in bytes.
const FILE_MAX: usize = 65_536;

/// What was written, for programs.
#[derive(Serialize)]
struct Report<'a> {
    success: True,
    output: &'a Path,
    entries: Vec<&'static str>,
}

/// One entry of the bundle.
struct Entry {
    name: &'static str,
    bytes: Vec<u8>,
}

/// Writes the bundle of a directory to a new file.
///
/// # Errors
/// `not_initialised` for another directory; a usage failure for a file that exists. What cannot be read is said in
/// the bundle instead.
pub(crate) async fn run(
    dir: &Path,
    output: &Path,
    rows: u32,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let place = Place::find(dir)?;
    let mut draft = Draft::begin("--output", output)?;
    let entries = [
        document("about.json", &about(&place)),
        document("settings.json", &settings(&place)),
        document("doctor.json", &doctor::examine(&place).await),
        document("files.json", &files(dir)),
        figures(&place).await,
        audit(&place, rows).await,
    ];
    let mut archive = Builder::new(&mut draft);
    for Entry { name, bytes } in &entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_mtime(0);
        header.set_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        archive
            .append_data(&mut header, name, bytes.as_slice())
            .map_err(|error| cannot("write", output, &error))?;
    }
    archive.finish().map_err(|error| cannot("write", output, &error))?;
    drop(archive);
    draft.flush().map_err(|error| cannot("write", output, &error))?;
    draft.keep()?;
    let entries: Vec<_> = entries.iter().map(|entry| entry.name).collect();
    if streams.is_json() {
        return Ok(streams.json(&Report { success: True, output, entries })?);
    }
    streams.say(&format!("{} is written: {}", output.display(), entries.join(", ")))?;
    Ok(streams.say("No secret is in it. It names operators, beds, devices and addresses.")?)
}

fn document(name: &'static str, value: &impl Serialize) -> Entry {
    let bytes = serde_json::to_vec_pretty(value).unwrap_or_else(|error| error.to_string().into());
    Entry { name, bytes }
}

fn about(place: &Place) -> Value {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({
        "program": "zmon",
        "version": env!("CARGO_PKG_VERSION"),
        "madeAt": clock::now().millis,
        "side": place.side.as_str(),
        "system": std::env::consts::OS,
        "machine": std::env::consts::ARCH,
        "kernel": kernel.trim_end(),
    })
}

/// The settings that are on the list, and the names of the others.
fn settings(place: &Place) -> Value {
    let table = match &place.settings {
        Ok(table) => table,
        Err(cause) => return json!({ "unreadable": cause }),
    };
    let mut shown = Map::new();
    let mut left_out = Vec::new();
    for (key, value) in table {
        if SETTINGS.contains(&key.as_str()) {
            shown.insert(key.clone(), serde_json::to_value(value).unwrap_or(Value::Null));
        } else if key == "database" {
            // Host and name, as messages show it.
            let place = place.database().and_then(Result::ok).map(|url| url.to_string());
            shown.insert(key.clone(), place.into());
        } else if key == "pull_url" {
            let host = place.text(key).and_then(|url| ServerUrl::parse(url).ok());
            shown.insert(key.clone(), host.map(|url| url.to_string()).into());
        } else {
            left_out.push(key.clone());
        }
    }
    json!({ "settings": shown, "leftOut": left_out })
}

/// Names, modes and lengths; no content.
fn files(dir: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    list(dir, dir, &mut found);
    found
}

fn list(root: &Path, path: &Path, found: &mut Vec<Value>) {
    let Ok(metadata) = path.symlink_metadata() else { return };
    let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
    found.push(json!({
        "name": name,
        "mode": format!("{:04o}", metadata.mode() & 0o7777),
        "uid": metadata.uid(),
        "bytes": metadata.len(),
        "directory": metadata.is_dir(),
        "link": metadata.is_symlink(),
    }));
    if !metadata.is_dir() {
        return;
    }
    let Ok(entries) = fs::read_dir(path) else { return };
    let mut below: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    below.sort();
    for path in below {
        list(root, &path, found);
    }
}

/// The figures of a station that runs and has a token for a monitoring system.
async fn figures(place: &Place) -> Entry {
    let name = "figures.txt";
    let text = match figures_of(place).await {
        Ok(text) => text,
        Err(cause) => format!("# no figures: {cause}\n").into_bytes(),
    };
    Entry { name, bytes: text }
}

async fn figures_of(place: &Place) -> Result<Vec<u8>, String> {
    if place.side == Side::Device {
        return Err("a device has none".to_owned());
    }
    let file = place.text("metrics_token_file").ok_or("metrics_token_file is not set")?;
    let address = place.address("listen").ok_or("listen has no port that is known before")?;
    let read = |name: &str, protection| {
        read_file(&place.dir.join(name), FILE_MAX, protection).map_err(|error| error.describe())
    };
    let token = read(file, Protection::Private)?;
    let token = core::str::from_utf8(&token).map_err(|error| error.to_string())?;
    let anchor = read("anchor.pem", Protection::Regular)?;
    let url = ServerUrl::parse(&format!("https://{}", doctor::connectable(address)))
        .map_err(|error| error.to_string())?;
    let answer = station::look(&url, &anchor, paths::METRICS, Some(token.trim_end())).await;
    let answer = answer.map_err(|failure| failure.to_text())?;
    if answer.status.is_success() {
        Ok(answer.body.to_vec())
    } else {
        Err(answer.status.to_string())
    }
}

/// The last rows of the log, one a line: what an auditor may see.
async fn audit(place: &Place, rows: u32) -> Entry {
    let name = "audit.jsonl";
    let most = usize::try_from(rows).unwrap_or(usize::MAX);
    let mut last = LastRows { most, rows: VecDeque::new() };
    let bytes = match doctor::open_log(place).await {
        Ok(log) => match log.export(&mut last).await {
            Ok(_all) => last.rows.iter().flat_map(|row| [row.as_bytes(), b"\n"].concat()).collect(),
            Err(error) => unreadable(&error.describe()),
        },
        Err(failure) => unreadable(failure.cause().unwrap_or(failure.code().message())),
    };
    Entry { name, bytes }
}

fn unreadable(cause: &str) -> Vec<u8> {
    format!("{}\n", json!({ "unreadable": cause })).into_bytes()
}

struct LastRows {
    most: usize,
    rows: VecDeque<String>,
}

impl AuditExport for LastRows {
    fn row(&mut self, row: &ExportedRow<'_>) -> Result<(), PersistenceError> {
        let record: Value = serde_json::from_str(row.record).unwrap_or(Value::Null);
        let line = json!({
            "lane": row.lane,
            "seq": row.seq,
            "hash": hex::encode(&row.hash),
            "record": record,
        });
        self.rows.push_back(line.to_string());
        if self.rows.len() > self.most {
            self.rows.pop_front();
        }
        Ok(())
    }

    fn checkpoint(&mut self, _jws: &str) -> Result<(), PersistenceError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_not_on_the_list_is_named_and_not_shown() {
        let place = Place {
            dir: "/nowhere".into(),
            side: Side::Station,
            settings: Ok("station_id = 'st-1'\n\
                database = 'postgres://zmon:hunter2-canary@127.0.0.1/station'\n\
                pull_url = 'https://127.0.0.1:8444'\n\
                token = 'canary-of-a-later-version'\n"
                .parse()
                .unwrap()),
        };
        let shown = settings(&place);
        assert_eq!(shown["settings"]["station_id"], "st-1");
        assert_eq!(shown["settings"]["database"], "127.0.0.1:5432/station");
        assert_eq!(shown["leftOut"], json!(["token"]));
        assert!(!shown.to_string().contains("canary"), "{shown}");
        let broken = Place { settings: Err("must be TOML".to_owned()), ..place };
        assert_eq!(settings(&broken)["unreadable"], "must be TOML");
    }

    #[test]
    fn the_last_rows_are_kept_in_their_order() {
        let mut last = LastRows { most: 2, rows: VecDeque::new() };
        for seq in 1..=3 {
            let row = ExportedRow { lane: "l", seq, hash: [0; 32], prev: [0; 32], record: "{}" };
            last.row(&row).unwrap();
        }
        let numbers: Vec<i64> = last
            .rows
            .iter()
            .map(|row| serde_json::from_str::<Value>(row).unwrap()["seq"].as_i64().unwrap())
            .collect();
        assert_eq!(numbers, [2, 3]);
    }
}
