//! Integration and security tests over real sockets.
