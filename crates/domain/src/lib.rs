//! Value types, states, roles, errors and limits of Z Monitor provisioning.
