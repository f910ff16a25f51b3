//! What a backup says about itself, before anything else in it.

use serde::{Deserialize, Serialize};
use zmon_cli::Failure;
use zmon_domain::{error::ErrorCode, hex, ids::StationId};
use zmon_persistence::{LaneEnd, LaneSummary, STATION_DATABASE};

/// Version of the format.
pub(super) const VERSION: u32 = 1;
/// Name of this document in the archive.
pub(super) const NAME: &str = "manifest.json";
/// Longest manifest, in bytes.
pub(super) const BYTES_MAX: u64 = 1_048_576;
/// Longest file but the database, in bytes.
pub(super) const FILE_MAX: u64 = 1_048_576;

/// The first entry of a backup.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) v: u32,
    pub(super) station_id: String,
    /// Version of the program that made it.
    pub(super) program: String,
    /// Unix milliseconds UTC.
    pub(super) made_at: Option<i64>,
    /// Where the lanes of the log end.
    pub(super) ends: Vec<End>,
    /// The entries that follow, in their order; the database is the last.
    pub(super) files: Vec<Entry>,
}

/// Number and hash of the last row of a lane.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    lane: String,
    rows: u64,
    hash: String,
}

/// One file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Its path in the directory.
    pub(super) name: String,
    pub(super) mode: u32,
    pub(super) bytes: u64,
}

impl Manifest {
    /// Reads a manifest; every name and mode is one that a station's directory may have.
    ///
    /// # Errors
    /// `schema_newer` for a newer version, `storage_corrupt` for anything that is no manifest.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let damaged = |rule: String| {
            Failure::new(ErrorCode::StorageCorrupt).context(format!("{NAME} of the backup: {rule}"))
        };
        let version: Version =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if version.v > VERSION {
            return Err(Failure::new(ErrorCode::SchemaNewer).context(format!(
                "the backup has version {}, this program knows up to {VERSION}",
                version.v
            )));
        }
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        StationId::parse(&manifest.station_id).map_err(|error| damaged(error.to_string()))?;
        for Entry { name, mode, bytes } in &manifest.files {
            let is_database = name == STATION_DATABASE;
            let is_file = is_name(name) && (is_database || *bytes <= FILE_MAX);
            // What is the owner's to read or everybody's, and nobody else's to write.
            if !is_file || ![0o600, 0o644].contains(mode) {
                return Err(damaged(format!("{name:?} may not be in it")));
            }
        }
        let mut names: Vec<_> = manifest.files.iter().map(|entry| entry.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let last = manifest.files.last().map(|entry| entry.name.as_str());
        if names.len() != manifest.files.len() || last != Some(STATION_DATABASE) {
            return Err(damaged(
                "a file is named twice, or the database is not the last".to_owned(),
            ));
        }
        Ok(manifest)
    }

    /// Where the lanes of the log end.
    ///
    /// # Errors
    /// `storage_corrupt` for a hash that is none.
    pub(super) fn lane_ends(&self) -> Result<Vec<LaneEnd>, Failure> {
        self.ends
            .iter()
            .map(|End { lane, rows, hash }| {
                let hash = hex::decode(hash);
                let hash = hash.ok_or_else(|| {
                    Failure::new(ErrorCode::StorageCorrupt)
                        .context(format!("{NAME} of the backup: a hash is malformed"))
                })?;
                Ok(LaneEnd { lane: lane.clone(), rows: *rows, hash })
            })
            .collect()
    }
}

impl From<&LaneSummary> for End {
    fn from(lane: &LaneSummary) -> Self {
        Self { lane: lane.lane.clone(), rows: lane.rows, hash: hex::encode(&lane.head) }
    }
}

/// A name of the directory, or of a folder in it; nothing hidden, and no way out.
pub(super) fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        part.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    name.len() <= 255 && name.split('/').count() <= 2 && name.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(files: serde_json::Value) -> Result<Manifest, Failure> {
        let manifest = json!({"v": 1, "stationId": "st-1", "program": "0.1.0", "madeAt": 1,
            "ends": [{"lane": "station:st-1", "rows": 3, "hash": "00".repeat(32)}], "files": files});
        Manifest::parse(manifest.to_string().as_bytes())
    }

    fn entry(name: &str) -> serde_json::Value {
        json!({"name": name, "mode": 0o600, "bytes": 1})
    }

    #[test]
    fn a_manifest_names_files_of_a_station_and_nothing_else() {
        let database = entry("station.db");
        let read = with(json!([entry("station.toml"), entry("keys/root.key"), database])).unwrap();
        assert_eq!(read.lane_ends().unwrap()[0].rows, 3);
        for wrong in
            ["../x", "/etc/passwd", "keys/../x", ".lock", "keys/.x", "a/b/c", "", "a b", "keys/"]
        {
            let refused = with(json!([entry(wrong), database])).unwrap_err();
            assert_eq!(refused.code(), ErrorCode::StorageCorrupt, "{wrong}");
        }
        let wide = json!({"name": "keys/root.key", "mode": 0o666, "bytes": 1});
        let long = json!({"name": "keys/root.key", "mode": 0o600, "bytes": FILE_MAX + 1});
        for files in [
            json!([wide, database]),
            json!([long, database]),
            json!([database, entry("station.toml")]),
            json!([entry("station.toml"), entry("station.toml"), database]),
            json!([]),
        ] {
            assert_eq!(
                with(files.clone()).unwrap_err().code(),
                ErrorCode::StorageCorrupt,
                "{files}"
            );
        }
    }

    #[test]
    fn a_newer_manifest_is_named_so_whatever_else_it_has() {
        let refused = Manifest::parse(br#"{"v":2,"new":"member"}"#).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::SchemaNewer);
        assert_eq!(Manifest::parse(b"{}").unwrap_err().code(), ErrorCode::StorageCorrupt);
    }
}
