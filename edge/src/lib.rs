//! The edge: what viewers reach.
