//! The `framemill` binary: one composition root that starts every role, alone or together, and
//! the operator's commands. Never here: the logic of a role.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod args;
mod bars;
mod client;
mod commands;
mod config;
mod exit;
mod export;
mod farm;
mod follow;
mod ladder_file;
mod output;
mod run_line;
mod scratch;

use std::{panic::AssertUnwindSafe, process::ExitCode};

use clap::Parser;
use exit::CliError;
use futures_util::FutureExt;

fn main() -> ExitCode {
    // Wrong usage ends here with 2, --help and --version with 0.
    let cli = args::Cli::parse();
    let _armed = fault_points();
    std::panic::set_hook(Box::new(|panic| output::note(format!("internal fault: {panic}"))));
    rustls::crypto::ring::default_provider().install_default().expect("nothing has chosen a provider before");
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(error.to_string());
            ExitCode::from(error.exit as u8)
        }
    }
}

/// Arms the fault points that `FAILPOINTS` names: for tests that kill a process at a border.
fn fault_points() -> Option<fail::FailScenario<'static>> {
    std::env::var_os("FAILPOINTS").map(|_| {
        output::note("fault points are armed by FAILPOINTS: this process may end itself at any moment");
        fail::FailScenario::setup()
    })
}

fn run(cli: args::Cli) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("cannot start the runtime: {error}")))?;
    let ended = runtime.block_on(AssertUnwindSafe(commands::run(cli)).catch_unwind());
    // What had to end in order has ended; what is left, nobody waits for.
    runtime.shutdown_background();
    ended.unwrap_or_else(|_| {
        Err(CliError::failed("this is a fault of framemill").mend("please report the line above and what you did"))
    })
}
