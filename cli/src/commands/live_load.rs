//! `framemill loadtest live`: trials of channels, with the programs and the store of this machine's
//! configuration.

use std::time::Duration;

use framemill_loadtest::live::{Common, Way, align, both_lost, check, control, kills, latency, load, report::Outcome};

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
            let (seed, strikes) = (seed(args.seed), size(args.kills));
            let kills = kills::Kills { common: common(global, args.common)?, seed, strikes, judges: args.judges };
            kills::run(&kills, say).await
        }
        args::Live::BothLost(args) => {
            let (common, seed, times) = (common(global, args.common)?, seed(args.seed), size(args.times));
            both_lost::run(&both_lost::BothLost { common, seed, times }, say).await
        }
        args::Live::Latency(args) => {
            let (common, span) = (common(global, args.common)?, Duration::from_secs(args.seconds));
            latency::run(&latency::Latency { common, span }, say).await
        }
        args::Live::Align(args) => align::run(&common(global, args.common)?, args.rate, say).await,
        args::Live::Check(args) => {
            let (common, span) = (common(global, args.common)?, Duration::from_secs(args.minutes * 60));
            check::run(&check::Check { common, span, judges: args.judges }, say).await
        }
        args::Live::Load(args) => {
            let (common, span) = (common(global, args.common)?, Duration::from_secs(args.seconds));
            load::run(&load::Load { common, channels: size(args.channels), span }, say).await
        }
        args::Live::Control(args) => control::run(&common(global, args.common)?, seed(args.seed), say).await,
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
