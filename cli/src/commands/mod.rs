//! One file per command. Each takes its arguments and answers with nothing or with the fault
//! that ends the program.

pub mod asset;
mod bench_queue;
pub mod capacity;
pub mod channel;
mod channel_text;
pub mod chaos;
pub mod check;
pub mod dead;
pub mod doctor;
pub mod event;
pub mod fleet;
mod gc;
pub mod job;
pub mod key;
pub mod ladder;
mod live_load;
pub mod loadtest;
pub mod node;
pub mod purge;
pub mod role;
pub mod run;
pub mod settings;
pub mod shell;
pub mod submit;
pub mod tenant;
pub mod token;
pub mod trace;
pub mod up;

use crate::{
    args::{Cli, Command, Global, serve},
    client::Client,
    exit::CliError,
};

/// Runs a command.
pub async fn run(cli: Cli) -> Result<(), CliError> {
    let global = &cli.global;
    match cli.command {
        Command::Up(args) => up::run(global, args).await,
        Command::Run(args) => run::run(global, args).await,
        Command::Scheduler(args) => role::scheduler(global, args).await,
        Command::Worker(args) => role::worker(global, args).await,
        Command::Packager(args) => role::packager(global, args).await,
        Command::Edge(serve::Edge { look: Some(look), .. }) => purge::edge(global, look).await,
        Command::Edge(args) => role::edge(global, args).await,
        Command::Submit(args) => submit::run(global, args).await,
        Command::Asset(args) => asset::run(global, args).await,
        Command::Channel(args) => channel::run(global, args).await,
        Command::Job(args) => job::run(global, args).await,
        Command::Dead(args) => dead::run(global, args).await,
        Command::Node(args) => node::run(global, args).await,
        Command::Purge(args) => purge::run(global, args).await,
        Command::Key(args) => key::run(global, args).await,
        Command::Token(args) => token::run(global, args).await,
        Command::Tenant(args) => tenant::run(global, args).await,
        Command::Account(args) => tenant::account(global, args).await,
        Command::Event(args) => event::run(global, args).await,
        Command::Trace { id } => trace::run(global, &id).await,
        Command::Ladder(args) => ladder::run(global, args).await,
        Command::Config(args) => settings::run(global, args),
        Command::Doctor(args) => doctor::run(global, args).await,
        Command::Capacity(args) => capacity::run(global, args).await,
        Command::Gc(args) => gc::run(global, args).await,
        Command::Loadtest(args) => loadtest::run(global, args).await,
        Command::Completions(args) => shell::completions(&args),
        Command::Version => shell::version(global),
    }
}

/// A client as the environment and the flags say.
pub fn client(global: &Global) -> Result<Client, CliError> {
    Client::new(&global.api, std::env::var("FRAMEMILL_API_KEY").ok())
}
