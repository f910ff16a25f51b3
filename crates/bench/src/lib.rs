//! Benchmarks beside the primitives they are made of.
