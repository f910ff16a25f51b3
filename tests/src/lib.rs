//! Integration and security tests over real sockets, and the documents that are made from code.

pub mod definitions;
pub mod documents;
pub mod openapi;
pub mod sbom;
pub mod tables;
