//! Mock station, simulated devices, virtual time, fault injection and contract suites.
