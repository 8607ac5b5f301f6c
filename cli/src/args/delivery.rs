//! Arguments of `framemill token`, `framemill tenant` and `framemill account`.

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use framemill_schemas::delivery::{Algorithm, TokenFormat, Yields};

/// `framemill token`.
#[derive(Clone, Debug, Subcommand)]
pub enum Token {
    /// Issue a token: let an account watch something for a few minutes
    Issue(Issue),
    /// Show what a token seems to say; nothing of it is checked, and nothing sent anywhere
    Inspect {
        /// The token, or `-` to read it from stdin
        token: String,
    },
    /// Get the next token of a session, by the token itself
    Renew {
        /// The token, or `-` to read it from stdin
        token: String,
        /// Seconds the next one is valid
        #[arg(long, value_name = "SECONDS")]
        ttl: Option<u32>,
    },
    /// Let a session, or an account with all sessions it has now, in no more
    Revoke(Revoke),
    /// List what is revoked
    Revoked,
    /// Show who was let in or refused, and why
    Audit {
        /// Only of this tenant
        #[arg(long, value_name = "T")]
        tenant: Option<String>,
        /// Only of this account
        #[arg(long, value_name = "A")]
        account: Option<String>,
        /// Only what was refused
        #[arg(long)]
        refused: bool,
    },
    /// Keys that tokens are signed with
    #[command(subcommand)]
    Key(TokenKey),
}

/// `framemill token issue`.
#[derive(Clone, Debug, Args)]
pub struct Issue {
    /// The viewer's account
    #[arg(long, value_name = "A")]
    pub account: String,
    /// Whose viewer it is [default: the key's tenant]
    #[arg(long, value_name = "T")]
    pub tenant: Option<String>,
    /// A channel of the tenant
    #[arg(long = "channel", value_name = "ID")]
    pub channels: Vec<String>,
    /// A title of the tenant
    #[arg(long = "asset", value_name = "ID")]
    pub assets: Vec<String>,
    /// A path: one object, or with a slash at its end all below a folder
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<String>,
    /// The viewer's address
    #[arg(long, value_name = "IP")]
    pub address: Option<IpAddr>,
    /// Where the viewer is: two letters
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// A page that may use it: https://tv.example
    #[arg(long = "origin", value_name = "ORIGIN")]
    pub origins: Vec<String>,
    /// Seconds it is valid
    #[arg(long, value_name = "SECONDS")]
    pub ttl: Option<u32>,
    /// How it is written
    #[arg(long, value_name = "F", default_value = "jwt")]
    pub format: FormatArg,
    /// Most sessions of the account at once; 0: as many as its tenant allows
    #[arg(long, value_name = "N")]
    pub sessions_max: Option<u32>,
    /// Which session yields when there are more
    #[arg(long, value_name = "WHICH")]
    pub yields: Option<YieldsArg>,
    /// The session it goes on with [default: a new one]
    #[arg(long, value_name = "S")]
    pub session: Option<String>,
}

/// `framemill token revoke`.
#[derive(Clone, Debug, Args)]
pub struct Revoke {
    /// The session, as it was issued
    #[arg(long, value_name = "S", required_unless_present = "account", conflicts_with = "account")]
    pub session: Option<String>,
    /// The account
    #[arg(long, value_name = "A")]
    pub account: Option<String>,
    /// Whose viewer it is [default: the key's tenant]
    #[arg(long, value_name = "T")]
    pub tenant: Option<String>,
}

/// `framemill token key`.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenKey {
    /// Make one, which signs from now on; what it replaces verifies until its last token is over
    Create {
        /// Whose viewers it speaks for [default: the key's tenant]
        #[arg(long, value_name = "T")]
        tenant: Option<String>,
        /// How it signs
        #[arg(long, value_name = "A", default_value = "ed-dsa")]
        algorithm: AlgorithmArg,
        /// What its tokens may name at most [default: what the tenant has]
        #[arg(long = "scope", value_name = "PATH")]
        scope: Vec<String>,
        /// Its id in tokens [default: a new one]
        #[arg(long, value_name = "ID")]
        kid: Option<String>,
        /// A file with a secret that another CDN has already, in base64 (`hs256`)
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        /// Leave the tenant's other keys in use
        #[arg(long)]
        keep: bool,
    },
    /// List them
    Ls {
        /// Only those of this tenant
        #[arg(long, value_name = "T")]
        tenant: Option<String>,
    },
    /// Put one out of use once its last token is over
    Retire {
        /// Its id
        kid: String,
        /// Now: its tokens are refused within moments
        #[arg(long)]
        now: bool,
    },
}

/// `framemill tenant`.
#[derive(Clone, Debug, Subcommand)]
pub enum Tenant {
    /// Make a tenant of a file, or change what it is
    Apply {
        /// The document, with its id in `tenant`: YAML, or JSON
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// List those that have a record
    Ls,
    /// Show one: who is above it, and its packages
    Show {
        /// Its id
        id: String,
    },
    /// Remove its record: it has everything of its own then, and nobody above
    Rm {
        /// Its id
        id: String,
    },
}

/// `framemill account`.
#[derive(Clone, Debug, Subcommand)]
pub enum Account {
    /// Make an account, or change what it has
    Apply {
        /// Its name
        account: String,
        /// Whose it is [default: default]
        #[arg(long, value_name = "T", default_value = "default")]
        tenant: String,
        /// A package of its tenant [default: all of them]
        #[arg(long = "package", value_name = "NAME")]
        packages: Vec<String>,
        /// It gets no tokens
        #[arg(long)]
        suspended: bool,
        /// Until when: RFC 3339 (2026-11-29T20:00:00Z)
        #[arg(long, value_name = "TIME")]
        end: Option<String>,
        /// Most of its sessions at once [default: as its tenant says]
        #[arg(long, value_name = "N")]
        sessions_max: Option<u32>,
    },
    /// List a tenant's
    Ls {
        /// Whose
        #[arg(long, value_name = "T", default_value = "default")]
        tenant: String,
    },
    /// Show one
    Show {
        /// Its name
        account: String,
        /// Whose it is
        #[arg(long, value_name = "T", default_value = "default")]
        tenant: String,
    },
    /// Remove one
    Rm {
        /// Its name
        account: String,
        /// Whose it is
        #[arg(long, value_name = "T", default_value = "default")]
        tenant: String,
    },
}

/// A format of tokens on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FormatArg {
    /// A JSON Web Token
    Jwt,
    /// The short form for HMAC keys
    Compact,
    /// A Common Access Token
    Cat,
}

impl From<FormatArg> for TokenFormat {
    fn from(arg: FormatArg) -> Self {
        match arg {
            FormatArg::Jwt => Self::Jwt,
            FormatArg::Compact => Self::Compact,
            FormatArg::Cat => Self::Cat,
        }
    }
}

/// An algorithm on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum AlgorithmArg {
    /// HMAC with SHA-256: whoever verifies could sign
    Hs256,
    /// ECDSA on P-256
    Es256,
    /// Ed25519
    EdDsa,
}

impl From<AlgorithmArg> for Algorithm {
    fn from(arg: AlgorithmArg) -> Self {
        match arg {
            AlgorithmArg::Hs256 => Self::Hs256,
            AlgorithmArg::Es256 => Self::Es256,
            AlgorithmArg::EdDsa => Self::EdDsa,
        }
    }
}

/// Which session yields, on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum YieldsArg {
    /// The one that began first
    Oldest,
    /// The one that wants to begin
    Newest,
}

impl From<YieldsArg> for Yields {
    fn from(arg: YieldsArg) -> Self {
        match arg {
            YieldsArg::Oldest => Self::Oldest,
            YieldsArg::Newest => Self::Newest,
        }
    }
}
