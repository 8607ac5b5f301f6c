//! Formats of tokens: reading, verifying and signing them. Never here: I/O, clocks, records.
