//! `framemill loadtest live`: trials of channels, with the programs and the store of this machine's
//! configuration.

use framemill_loadtest::live::{Common, Way, both_lost, kills, report::Outcome};

use super::chaos::programs;
use crate::{
    args::{Global, live_load as args},
    exit::{CliError, Exit},
    output,
};

/// Runs the command; it ends well only when every bar is kept.
pub async fn run(global: &Global, args: args::Live) -> Result<(), CliError> {
    let ended = tokio::select! {
        ended = trial(global, args) => ended?,
        _ = tokio::signal::ctrl_c() => return Err(CliError::new(Exit::Interrupted, "interrupted")),
    };
    if global.json {
        output::json(&ended);
    } else {
        output::line(ended.to_string());
    }
    if ended.is_kept() {
        return Ok(());
    }
    let missed = ended.bars.iter().filter(|bar| !bar.kept).count();
    let found = ended.findings.len();
    Err(CliError::failed(format!("{missed} bars were missed, and {found} things found that should not be"))
        .at(ended.trial)
        .mend("run it again with its --seed, where it has one; the logs say more"))
}

async fn trial(global: &Global, args: args::Live) -> Result<Outcome, CliError> {
    let say = |line: String| output::note(line);
    let ended = match args {
        args::Live::Kills(args) => {
            let strikes = size(args.kills);
            kills::run(&kills::Kills { common: common(global, args.common)?, seed: seed(args.seed), strikes }, say)
                .await
        }
        args::Live::BothLost(args) => {
            let (common, seed, times) = (common(global, args.common)?, seed(args.seed), size(args.times));
            both_lost::run(&both_lost::BothLost { common, seed, times }, say).await
        }
    };
    ended.map_err(|error| CliError::failed(format!("{error:#}")))
}

fn seed(named: Option<u64>) -> u64 {
    named.unwrap_or_else(|| output::now_ms().unsigned_abs())
}

fn size(count: u64) -> usize {
    usize::try_from(count).expect("its range was checked")
}

fn common(global: &Global, args: args::Common) -> Result<Common, CliError> {
    let way = args.source.map(|source| match source {
        args::Source::Udp => Way::Udp,
        args::Source::File => Way::File,
    });
    Ok(Common { programs: programs(global)?, way, folder: args.folder })
}
