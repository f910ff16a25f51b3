//! Envelope, JWS, tokens, derivation and X.509 profile checks of Z Monitor provisioning.
