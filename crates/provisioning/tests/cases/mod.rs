//! What the contract suite does not cover: the production service's own parts.
