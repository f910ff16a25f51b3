//! [W §13.2]: whole flows over real sockets, real certificates and real databases.

mod connection;
mod listener;
mod power;
mod provisioning;
mod recovery;
mod reprovisioning;
