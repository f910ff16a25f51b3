//! Central Station use-cases: registry, operators, pairing, certificate authority.
