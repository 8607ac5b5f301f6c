//! Titles that are kept of channels: which numbers a span of time means ([`resolve`]), what the channel knows
//! of them ([`read`]), and which jobs copy them ([`plan`]). Nothing of such a title is encoded.

mod plan;
mod read;
mod resolve;
#[cfg(test)]
mod sample;

pub(crate) use plan::{plan, probe};
pub(crate) use read::{is_kept, read};
pub use resolve::Refusal;
pub(crate) use resolve::{Span, resolve};
