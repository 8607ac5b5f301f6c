//! Arguments of `framemill purge` and `framemill edge`.

use clap::{Args, Subcommand};

/// `framemill purge`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Purge {
    /// What to do with purges that were asked for
    #[command(subcommand)]
    pub look: Option<Look>,
    /// What to forget: objects with this tag (tenant:T, channel:T/C, asset:A, object:KEY and others); again for more
    #[arg(long = "tag", value_name = "TAG", required = true)]
    pub tags: Vec<String>,
    /// Whose they are [default: the key's tenant, or whose the tags are]
    #[arg(long, value_name = "T")]
    pub tenant: Option<String>,
    /// Refuse them to viewers as well, for 7 days
    #[arg(long)]
    pub refuse: bool,
    /// Asking again with the same key is the same purge
    #[arg(long, value_name = "K")]
    pub idempotency_key: Option<String>,
    /// Wait until every edge has forgotten it
    #[arg(long)]
    pub watch: bool,
    /// Give up watching after this many seconds [default: never]
    #[arg(long, value_name = "SECONDS", requires = "watch")]
    pub timeout: Option<u64>,
}

/// What there is to do with purges that were asked for.
#[derive(Clone, Debug, Subcommand)]
pub enum Look {
    /// Show one: who has it, who is waited for, what caches of others answered
    Show {
        /// Its id
        id: String,
        /// Look in the store as well whether it is gone
        #[arg(long)]
        report: bool,
    },
    /// Purge the caches of others again that were given up
    Retry {
        /// Its id
        id: String,
    },
    /// List purges, newest first
    Ls {
        /// Only those in this state: running, completed
        #[arg(long)]
        state: Option<String>,
        /// Only those of this tenant
        #[arg(long)]
        tenant: Option<String>,
    },
}

/// `framemill edge`.
#[derive(Clone, Debug, Subcommand)]
pub enum EdgeLook {
    /// List edges, and how far each is with purges
    Ls,
    /// Forget one that will not come back: purges wait for it no more
    Rm {
        /// Its name
        id: String,
    },
}
