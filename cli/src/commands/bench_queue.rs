//! `framemill loadtest bench queue`: a server of the shipped configuration in a temporary folder,
//! and the benchmark against it.

use framemill_loadtest::bench::queue::{
    self, Latency, QueueBench, QueueReport, Traffic,
    backlog::{self, Backlog, BacklogReport},
};
use framemill_queue::NatsConfig;
use framemill_storage::{S3Config, Secret};

use crate::{
    args::{Global, operate::BenchQueue},
    config::load,
    exit::{CliError, Exit},
    farm::{data::DataFolder, start::Base},
    output,
    scratch::Scratch,
};

/// Runs the command.
pub async fn run(global: &Global, args: BenchQueue) -> Result<(), CliError> {
    let mut settings = load::effective(global.config.as_deref())?;
    // A server and a store of its own, whatever the configuration names.
    settings.nats.url = None;
    settings.s3 = S3Config::default();
    let folder = Scratch::make()?;
    let data = DataFolder::open(folder.path())?;
    let (base, nats, s3) = Base::start(&settings, &data).await?;
    let measured = async {
        match args.backlog {
            Some(jobs) => {
                let report = backlog(&args, jobs, nats, &s3, &folder).await?;
                if global.json { output::json(&report) } else { show_backlog(&report) }
            }
            None => {
                let report = queue::run(&bench(&args, nats), output::note).await.map_err(failed)?;
                if global.json { output::json(&report) } else { show(&report) }
            }
        }
        Ok(())
    };
    let ended = tokio::select! {
        ended = measured => ended,
        _ = tokio::signal::ctrl_c() => Err(CliError::new(Exit::Interrupted, "interrupted")),
    };
    base.stop().await;
    ended
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::failed(format!("{error:#}"))
}

fn bench(args: &BenchQueue, nats: NatsConfig) -> QueueBench {
    let size = |count: u64| usize::try_from(count).expect("its range was checked");
    QueueBench {
        nats,
        jobs: args.jobs,
        rounds: size(args.rounds),
        parallel: size(args.parallel),
        samples: args.samples,
    }
}

async fn backlog(
    args: &BenchQueue,
    jobs: u64,
    nats: NatsConfig,
    s3: &S3Config,
    folder: &Scratch,
) -> Result<BacklogReport, CliError> {
    let secret =
        |secret: &Option<Secret>| secret.as_ref().map_or_else(String::new, |secret| secret.expose().to_owned());
    let set = |name: &str, value: String| (format!("FRAMEMILL_{name}"), value);
    let environment = vec![
        set("NATS__URL", nats.url.clone()),
        set("S3__ENDPOINT", s3.endpoint.clone().unwrap_or_default()),
        set("S3__ACCESS_KEY", secret(&s3.access_key)),
        set("S3__SECRET_KEY", secret(&s3.secret_key)),
        set("S3__CREATE_BUCKET", "true".to_owned()),
    ];
    let framemill = std::env::current_exe().map_err(failed)?;
    let backlog =
        Backlog { nats, framemill, environment, folder: folder.path().to_owned(), jobs, samples: args.samples };
    backlog::run(&backlog, output::note).await.map_err(failed)
}

fn show(report: &QueueReport) {
    output::line(format!(
        "nats-server {}, sync_interval always, one server; {} jobs a round, {} at once",
        report.server, report.jobs, report.parallel
    ));
    let rates = |rates: &[f64]| rates.iter().map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(", ");
    let row = |side: &str, all: &[f64], median: f64, ratio: String, traffic: Traffic| {
        let Traffic { into_server, out_of_server } = traffic;
        vec![
            side.to_owned(),
            rates(all),
            format!("{median:.0}"),
            ratio,
            format!("{into_server:.1}"),
            format!("{out_of_server:.1}"),
        ]
    };
    let rows = vec![
        row("bare", &report.bare_jobs_per_s, report.bare_median_jobs_per_s, "1".to_owned(), report.bare_traffic),
        row(
            "farm",
            &report.farm_jobs_per_s,
            report.farm_median_jobs_per_s,
            format!("{:.3}", report.ratio),
            report.farm_traffic,
        ),
    ];
    let header = ["side", "jobs/s", "median", "ratio", "messages in / job", "messages out / job"];
    output::line(output::render(&header, rows));
    latencies(vec![
        ("submit to claim, idle".to_owned(), report.idle_claim),
        (format!("submit to claim, {:.0} jobs/s", report.load_jobs_per_s), report.load_claim),
    ]);
}

fn show_backlog(report: &BacklogReport) {
    output::line(format!("{} titles, {} jobs waiting after {:.0} s", report.titles, report.jobs, report.filled_s));
    output::line(format!(
        "scheduler: {} empty, {} after planning, {} after a restart: {:.0} bytes a job",
        output::bytes(report.empty_bytes),
        output::bytes(report.full_bytes),
        output::bytes(report.restarted_bytes),
        report.bytes_per_job
    ));
    output::line(format!(
        "scheduler ready after {:.2} s empty, {:.2} s with the jobs",
        report.empty_ready_s, report.full_ready_s
    ));
    latencies(vec![
        ("submit to claim, empty queue".to_owned(), report.empty_claim),
        ("submit to claim, long queue".to_owned(), report.full_claim),
        ("claim to claim, short lane".to_owned(), report.short_lane),
        ("claim to claim, long lane".to_owned(), report.long_lane),
    ]);
}

fn latencies(latencies: Vec<(String, Latency)>) {
    let row = |(what, latency): (String, Latency)| {
        vec![
            what,
            format!("{:.2}", latency.p50_ms),
            format!("{:.2}", latency.p99_ms),
            format!("{:.2}", latency.max_ms),
            latency.samples.to_string(),
        ]
    };
    let rows = latencies.into_iter().map(row).collect();
    output::line(output::render(&["latency", "p50 ms", "p99 ms", "max ms", "jobs"], rows));
}
