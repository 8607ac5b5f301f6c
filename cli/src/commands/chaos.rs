//! `framemill loadtest chaos`: the saboteur, with the programs and the store of this machine's
//! configuration.

use std::time::Duration;

use framemill_loadtest::{
    chaos::{self, Chaos, Planned},
    rig::Programs,
};

use super::loadtest::program;
use crate::{
    args::{Global, operate},
    config::load,
    exit::{CliError, Exit},
    farm::nats::{find_server, on_path},
    output,
};

/// Runs the command; it ends well only when the audit is clean.
pub async fn run(global: &Global, args: operate::Chaos) -> Result<(), CliError> {
    let seed = args.seed.unwrap_or_else(|| output::now_ms().unsigned_abs());
    if args.plan {
        show_plan(global, &chaos::plan(seed, args.minutes));
        return Ok(());
    }
    let chaos = Chaos {
        seed,
        minutes: args.minutes,
        settle: Duration::from_secs(args.settle),
        programs: programs(global)?,
        folder: args.folder,
    };
    let ended = tokio::select! {
        ended = chaos::run(&chaos, output::note) => ended,
        _ = tokio::signal::ctrl_c() => return Err(CliError::new(Exit::Interrupted, "interrupted")),
    };
    let report = ended.map_err(|error| CliError::failed(format!("{error:#}")))?;
    if global.json {
        output::json(&report);
    } else {
        output::line(report.to_string());
    }
    if report.is_clean() {
        return Ok(());
    }
    Err(CliError::failed(format!("the audit found {} breaches", report.findings.len()))
        .at(format!("seed {seed}, {} min", args.minutes))
        .mend("run it again with --seed to see whether they come back; the logs say more"))
}

/// The programs and the store that this machine's configuration names, for a farm of processes.
pub(super) fn programs(global: &Global) -> Result<Programs, CliError> {
    let settings = load::effective(global.config.as_deref())?;
    let framemill = std::env::current_exe()
        .map_err(|error| CliError::failed(format!("cannot find the path of this program: {error}")))?;
    Ok(Programs {
        framemill,
        ffmpeg: program(settings.ffmpeg.ffmpeg, "ffmpeg")?,
        ffprobe: program(settings.ffmpeg.ffprobe, "ffprobe")?,
        nats_server: find_server(settings.nats.server.as_deref())?,
        setpriv: on_path("setpriv"),
        outside: Some(settings.s3).filter(|s3| s3.endpoint.is_some()),
    })
}

fn show_plan(global: &Global, planned: &[Planned]) {
    if global.json {
        return output::json(&planned);
    }
    let row = |planned: &Planned| {
        let what = serde_json::to_string(&planned.fault).expect("a fault is plain data");
        vec![format!("{:.3} s", planned.at_ms as f64 / 1000.0), planned.fault.kind(), what]
    };
    output::table(&["at", "kind", "fault"], planned.iter().map(row).collect(), "nothing is planned");
}
