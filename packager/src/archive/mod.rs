//! Titles that are kept of a channel: which frames of sound stand where, and what was committed of a number.
//! Never here: the decision which numbers a title has; that was made when it was asked for.

pub mod log;
pub mod sound;
