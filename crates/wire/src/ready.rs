//! The one machine-readable line that a program prints when it is ready.

use alloc::{collections::BTreeMap, string::String};

use serde::{Deserialize, Serialize};

use crate::kind::{True, V1};

/// `{"v":1,"ready":true,"program":"…","version":"…","addresses":{…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ready {
    /// Version of the line.
    pub v: V1,
    /// Always true.
    pub ready: True,
    /// The program.
    #[serde(deserialize_with = "crate::text::word")]
    pub program: String,
    /// Its version.
    #[serde(deserialize_with = "crate::text::word")]
    pub version: String,
    /// What can be reached where: listener name to address, or path for sockets and files.
    pub addresses: BTreeMap<String, String>,
}

impl Ready {
    /// A line without addresses.
    #[must_use]
    pub fn new(program: &str, version: &str) -> Self {
        Self {
            v: V1::default(),
            ready: True,
            program: program.into(),
            version: version.into(),
            addresses: BTreeMap::new(),
        }
    }

    /// Adds an address.
    #[must_use]
    pub fn with(mut self, name: &str, address: impl Into<String>) -> Self {
        self.addresses.insert(name.into(), address.into());
        self
    }
}
