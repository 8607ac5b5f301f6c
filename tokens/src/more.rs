//! What a Common Access Token may ask for besides who is let in: what a refusal is answered with (CTA-5007-B, `catif`),
//! and how the token is renewed (`catr`).

use crate::Refusal;

/// What a token asks for besides. Signed like everything else that it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More {
    /// How it is renewed.
    pub renewing: Option<Renewing>,
    /// What a refusal is answered with, by the label of the claim that failed.
    pub(crate) instead: Vec<(i64, Instead)>,
}

/// How a token is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewing {
    /// The way that the next one is handed over.
    pub way: RenewingWay,
    /// Seconds that the next one is valid at most.
    pub add_s: i64,
    /// Seconds before its end from which on it is renewed; `None`: whoever renews it knows.
    pub deadline_s: Option<i64>,
    /// The cookie's name; `None`: whoever sets it knows.
    pub cookie: Option<&'static str>,
    /// The redirect's status.
    pub status: u16,
}

/// The way that a next token is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewingWay {
    /// As the last one came.
    Automatic,
    /// In a cookie.
    Cookie,
    /// In a header.
    Header,
    /// In the address that a redirect leads to.
    Redirect,
}

/// What a refusal is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instead {
    /// The status.
    pub status: u16,
    /// Headers: lower-case names of a fixed few, and values of visible ASCII and spaces.
    pub headers: Vec<(&'static str, String)>,
}

/// Why a token is refused, and what it asks to be answered then. That is there only where its signature is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// What to answer.
    pub instead: Option<Box<Instead>>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, instead: None }
    }
}

impl More {
    /// What a refusal is answered with, where the token says.
    pub fn instead(&self, refusal: Refusal) -> Option<&Instead> {
        let labels = crate::cat::labels_of(refusal);
        self.instead.iter().find(|(label, _)| labels.contains(label)).map(|(_, instead)| instead)
    }

    pub(crate) fn refused(&self, refusal: Refusal) -> Refused {
        Refused { refusal, instead: self.instead(refusal).cloned().map(Box::new) }
    }
}
