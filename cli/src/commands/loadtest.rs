//! `framemill loadtest`: benchmarks, run from outside like any user would.

use std::path::PathBuf;

use framemill_loadtest::bench::vod::{self, BenchReport};

use super::bench_queue;
use crate::{
    args::{
        Global,
        operate::{Bench, Loadtest},
    },
    config::load,
    exit::{CliError, Exit},
    farm::{
        nats::{self, on_path},
        startup,
    },
    ladder_file, output,
};

/// Runs the command.
pub async fn run(global: &Global, args: Loadtest) -> Result<(), CliError> {
    let bench = match args {
        Loadtest::Bench(bench) => bench,
        Loadtest::Chaos(chaos) => return super::chaos::run(global, chaos).await,
        Loadtest::Fleet(fleet) => return super::fleet::run(global, fleet).await,
        Loadtest::Live(live) => return super::live_load::run(global, live).await,
    };
    let (file, ladder, runs, no_quality) = match bench {
        Bench::Vod { file, ladder, runs, no_quality } => (file, ladder, runs, no_quality),
        Bench::Queue(bench) => return bench_queue::run(global, bench).await,
    };
    let settings = load::effective(global.config.as_deref())?;
    if !file.is_file() {
        return Err(CliError::new(Exit::Input, "there is no such file")
            .at(file.display().to_string())
            .mend("name a video file"));
    }
    // Before the plain side has run for minutes: what the farm's side will ask for.
    if settings.nats.url.is_none() {
        nats::find_server(settings.nats.server.as_deref())?;
    }
    startup::tools(&settings.ffmpeg).await?;
    let framemill = std::env::current_exe()
        .map_err(|error| CliError::failed(format!("cannot find the path of this program: {error}")))?;
    let bench = vod::Bench {
        file,
        ladder: ladder_file::written_out(ladder.as_deref())?,
        runs: usize::try_from(runs).expect("its range was checked"),
        framemill,
        ffmpeg: program(settings.ffmpeg.ffmpeg, "ffmpeg")?,
        ffprobe: program(settings.ffmpeg.ffprobe, "ffprobe")?,
        quality: !no_quality,
    };
    let ended = tokio::select! {
        ended = vod::vod(&bench, output::note) => ended,
        _ = tokio::signal::ctrl_c() => return Err(CliError::new(Exit::Interrupted, "interrupted")),
    };
    let report = ended.map_err(|error| CliError::failed(format!("{error:#}")))?;
    if global.json {
        output::json(&report);
    } else {
        show(&report);
    }
    Ok(())
}

pub(super) fn program(configured: Option<PathBuf>, name: &str) -> Result<PathBuf, CliError> {
    configured.or_else(|| on_path(name)).ok_or_else(|| {
        CliError::usage(format!("there is no {name}")).at("PATH").mend("run ./infra/setup, or install ffmpeg")
    })
}

fn show(report: &BenchReport) {
    let seconds = |times: &[f64]| times.iter().map(|time| format!("{time:.2}")).collect::<Vec<_>>().join(", ");
    let rows = vec![
        vec!["plain ffmpeg".to_owned(), seconds(&report.plain_s), "1".to_owned()],
        vec![
            "farm, last segment".to_owned(),
            seconds(&report.last_segment_s),
            format!("{:.3}", report.last_segment_ratio),
        ],
        vec!["farm, published".to_owned(), seconds(&report.published_s), format!("{:.3}", report.published_ratio)],
    ];
    output::line(output::render(&["side", "seconds", "median ratio"], rows));
    let score = |score: Option<f64>| score.map_or_else(|| "-".to_owned(), |score| format!("{score:.2}"));
    let rows = report.renditions.iter().map(|rendition| {
        vec![
            rendition.name.clone(),
            output::bytes(rendition.plain_bytes),
            output::bytes(rendition.farm_bytes),
            format!("{:.4}", rendition.size_ratio),
            rendition.metric.unwrap_or("-").to_owned(),
            score(rendition.plain_quality),
            score(rendition.farm_quality),
        ]
    });
    output::line(output::render(
        &["rendition", "plain", "farm", "size ratio", "quality by", "plain", "farm"],
        rows.collect(),
    ));
}
