//! `operators.json`: who there is, and the hash of each PIN.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zmon_domain::error::ErrorCode;
use zmon_domain::ids::OperatorId;
use zmon_domain::role::Role;

use super::hashing;
use crate::error::{PersistenceError, Result};
use crate::fs::PrivateDir;

const FILE: &str = "operators.json";
const FILE_MAX: usize = 256 * 1024;
const VERSION: u8 = 1;

/// An operator of the device, without what authenticates them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorEntry {
    /// The account.
    pub id: OperatorId,
    /// What it may do.
    pub role: Role,
}

/// Role and PHC string of each operator.
#[derive(Debug, Clone, Default)]
pub(super) struct Operators(BTreeMap<OperatorId, (Role, String)>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    operators: Vec<Entry>,
    v: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    role: String,
    hash: String,
}

impl Operators {
    /// Reads the file; without one there are no operators yet.
    pub(super) fn read(dir: &PrivateDir) -> Result<Self> {
        if !dir.contains(FILE)? {
            return Ok(Self::default());
        }
        let bytes = dir.read(FILE, FILE_MAX)?;
        let document: Document = serde_json::from_slice(&bytes).map_err(|error| {
            let context = "operators.json: not a list of operators";
            PersistenceError::caused_by(ErrorCode::StorageCorrupt, context, error)
        })?;
        if document.v != VERSION {
            return Err(PersistenceError::newer(FILE, i64::from(document.v), i64::from(VERSION)));
        }
        let mut operators = BTreeMap::new();
        for (index, entry) in document.operators.into_iter().enumerate() {
            let damaged = |error: zmon_domain::error::FieldError| {
                PersistenceError::corrupt(format!("operators.json: operators[{index}].{error}"))
            };
            let id = OperatorId::parse(&entry.id).map_err(damaged)?;
            let role: Role = entry.role.parse().map_err(damaged)?;
            hashing::parse(&entry.hash)?;
            if operators.insert(id, (role, entry.hash)).is_some() {
                let context = format!("operators.json: operators[{index}].id is there twice");
                return Err(PersistenceError::corrupt(context));
            }
        }
        Ok(Self(operators))
    }

    /// Overwrites and removes the file.
    pub(super) fn destroy(dir: &PrivateDir) -> Result<()> {
        dir.destroy_file(FILE)
    }

    /// Replaces the file durably.
    pub(super) fn write(&self, dir: &PrivateDir) -> Result<()> {
        let operators = self.0.iter().map(|(id, (role, hash))| Entry {
            id: id.as_str().to_owned(),
            role: role.as_str().to_owned(),
            hash: hash.clone(),
        });
        let document = Document { operators: operators.collect(), v: VERSION };
        let bytes = serde_json::to_vec_pretty(&document).map_err(|error| {
            PersistenceError::caused_by(ErrorCode::Internal, "operators.json", error)
        })?;
        dir.replace_file(FILE, &bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, id: &OperatorId) -> Option<(Role, &str)> {
        self.0.get(id).map(|(role, hash)| (*role, hash.as_str()))
    }

    /// The same list with one more operator.
    pub(super) fn with(&self, id: OperatorId, role: Role, hash: String) -> Result<Self> {
        let mut operators = self.0.clone();
        if operators.insert(id, (role, hash)).is_some() {
            let context = "an operator of this name exists";
            return Err(PersistenceError::new(ErrorCode::StateConflict, context));
        }
        Ok(Self(operators))
    }

    /// Role and hash of an operator there must be.
    pub(super) fn known(&self, id: &OperatorId) -> Result<(Role, &str)> {
        self.get(id).ok_or_else(|| {
            PersistenceError::new(ErrorCode::OperatorUnknown, "there is no such operator")
        })
    }

    /// The same list with another hash of a known operator.
    pub(super) fn with_hash(&self, id: &OperatorId, hash: String) -> Self {
        let mut operators = self.0.clone();
        if let Some((_, stored)) = operators.get_mut(id) {
            *stored = hash;
        }
        Self(operators)
    }

    /// The same list without one operator; an administrator is always left.
    pub(super) fn without(&self, id: &OperatorId) -> Result<Self> {
        let (role, _) = self.known(id)?;
        let mut administrators = self.0.values().filter(|(role, _)| *role == Role::Administrator);
        if role == Role::Administrator && administrators.nth(1).is_none() {
            let context = "the only administrator stays";
            return Err(PersistenceError::new(ErrorCode::LastAdministrator, context));
        }
        let mut operators = self.0.clone();
        operators.remove(id);
        Ok(Self(operators))
    }

    pub(super) fn list(&self) -> Vec<OperatorEntry> {
        self.0.iter().map(|(id, (role, _))| OperatorEntry { id: id.clone(), role: *role }).collect()
    }
}
