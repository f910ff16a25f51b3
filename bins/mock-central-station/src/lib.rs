//! Central Station for harnesses, trials and tests.
