//! `framemill loadtest fleet`: a server of the shipped configuration in a temporary folder, and a fleet
//! of simulated nodes on it.

use std::{path::Path, time::Duration};

use framemill_loadtest::fleet::{self, Fleet, FleetReport};
use framemill_storage::S3Config;

use crate::{
    args::{Global, operate},
    config::load,
    exit::{CliError, Exit},
    farm::{data::DataFolder, start::Base},
    output,
    scratch::Scratch,
};

/// Runs the command.
pub async fn run(global: &Global, args: operate::Fleet) -> Result<(), CliError> {
    let mut settings = load::effective(global.config.as_deref())?;
    // A server of its own, whatever the configuration names: thousands of jobs that nobody wants.
    settings.nats.url = None;
    settings.s3 = S3Config::default();
    let folder = Scratch::make()?;
    let data = DataFolder::open(folder.path())?;
    let (base, nats, _) = Base::start(&settings, &data).await?;
    let size = |count: u64| usize::try_from(count).expect("its range was checked");
    let fleet = Fleet {
        nats,
        nodes: size(args.nodes),
        jobs: size(args.jobs),
        large: size(args.large),
        liars: size(args.liars.min(args.nodes)),
        media_s: args.media,
        limit: Duration::from_secs(args.limit),
    };
    let ended = tokio::select! {
        ended = fleet::run(&fleet, output::note) => ended.map_err(|error| CliError::failed(format!("{error:#}"))),
        _ = tokio::signal::ctrl_c() => Err(CliError::new(Exit::Interrupted, "interrupted")),
    };
    base.stop().await;
    let report = ended?;
    if let Some(path) = &args.picture {
        draw(path, &report)?;
    }
    if global.json {
        output::json(&report);
    } else {
        show(&report);
    }
    Ok(())
}

fn draw(path: &Path, report: &FleetReport) -> Result<(), CliError> {
    let failed = |why: String| CliError::failed(why).at(path.display().to_string());
    let svg = fleet::picture(report).map_err(|error| failed(format!("{error:#}")))?;
    std::fs::write(path, svg).map_err(|error| failed(error.to_string()))
}

fn show(report: &FleetReport) {
    let seconds = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2} s"));
    let rows = [
        ("nodes, all simulated", report.nodes.to_string()),
        ("jobs done", format!("{} in {:.0} s", report.jobs, report.seconds)),
        ("devices filled while work waited", format!("{:.1} % of their ceilings", report.filled_percent)),
        ("load of their encoders alone", format!("{:.1} %", report.encoder_percent)),
        ("looks in a row above a ceiling", report.over_ceiling_looks.to_string()),
        ("a device idle while jobs waited", format!("{:.2} s at most", report.idle_longest_s)),
        ("sessions refused", report.refused.to_string()),
        ("from a refusal to a start", seconds(report.refused_longest_s)),
        ("closest starts on one device", seconds(report.closest_starts_s)),
        ("most starts on one device", report.most_starts.to_string()),
        ("longest wait of the largest", seconds(report.large_longest_s)),
        ("others that started meanwhile", report.started_meanwhile.to_string()),
        ("wait of the others", format!("median {:.1} s, 99 % {:.1} s", report.wait_s[0], report.wait_s[1])),
        ("a decision", format!("{:.1} us", report.decision_us)),
        ("reading this machine", format!("{:.3} % of a core", report.readings_percent)),
    ];
    let rows = rows.into_iter().map(|(what, figure)| vec![what.to_owned(), figure]).collect();
    output::line(output::render(&["what", "figure"], rows));
}
