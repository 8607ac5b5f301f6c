//! `framemill loadtest bench queue`: a server of the shipped configuration in a temporary folder,
//! and the benchmark against it.

use framemill_loadtest::bench::queue::{self, Latency, QueueBench, QueueReport, Traffic};
use framemill_queue::NatsConfig;

use crate::{
    args::{Global, operate::BenchQueue},
    config::load,
    exit::{CliError, Exit},
    farm::{
        data::DataFolder,
        nats::{self, NatsServer},
    },
    output,
};

/// Runs the command.
pub async fn run(global: &Global, args: BenchQueue) -> Result<(), CliError> {
    let settings = load::effective(global.config.as_deref())?;
    let server = nats::find_server(settings.nats.server.as_deref())?;
    let folder = Scratch::make()?;
    let data = DataFolder::open(&folder.0)?;
    let nats = NatsServer::start(server, nats::on_path("setpriv"), &data).await?;
    let size = |count: u64| usize::try_from(count).expect("its range was checked");
    let bench = QueueBench {
        nats: NatsConfig { url: nats.url().to_owned(), ..NatsConfig::default() },
        jobs: args.jobs,
        rounds: size(args.rounds),
        parallel: size(args.parallel),
        samples: args.samples,
    };
    let ended = tokio::select! {
        ended = queue::run(&bench, output::note) => ended.map_err(|error| CliError::failed(format!("{error:#}"))),
        _ = tokio::signal::ctrl_c() => Err(CliError::new(Exit::Interrupted, "interrupted")),
    };
    nats.stop().await;
    let report = ended?;
    if global.json {
        output::json(&report);
    } else {
        show(&report);
    }
    Ok(())
}

/// A folder that goes with its value.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn make() -> Result<Self, CliError> {
        let path = std::env::temp_dir().join(format!("framemill-bench-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&path)
            .map_err(|error| CliError::failed(error.to_string()).at(path.display().to_string()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left lies in the folder for temporary things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
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
    let row = |when: String, latency: Latency| {
        vec![
            when,
            format!("{:.2}", latency.p50_ms),
            format!("{:.2}", latency.p99_ms),
            format!("{:.2}", latency.max_ms),
            latency.samples.to_string(),
        ]
    };
    let rows = vec![
        row("idle".to_owned(), report.idle_claim),
        row(format!("{:.0} jobs/s", report.load_jobs_per_s), report.load_claim),
    ];
    output::line(output::render(&["submit to claim", "p50 ms", "p99 ms", "max ms", "jobs"], rows));
}
