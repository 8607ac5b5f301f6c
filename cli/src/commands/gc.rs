//! `framemill gc`: what has outlived its use.

use framemill_schemas::api::Garbage;

use super::client;
use crate::{
    args::{Global, operate},
    exit::CliError,
    output::{self, bytes},
};

/// Runs the command.
pub async fn run(global: &Global, args: operate::Gc) -> Result<(), CliError> {
    let path = format!("/v1/gc?dry_run={}", args.dry_run);
    let garbage: Garbage = client(global)?.post_slow(&path).await?;
    if global.json {
        output::json(&garbage);
        return Ok(());
    }
    let objects =
        garbage.objects.iter().map(|object| vec![object.key.clone(), bytes(object.bytes), object.why.clone()]);
    let records = garbage.records.iter().map(|record| {
        let job = record.job.map_or_else(|| "the asset itself".to_owned(), |job| format!("job {job}"));
        vec![record.asset.to_string(), job, record.why.clone()]
    });
    output::table(&["object", "bytes", "why"], objects.collect(), "no objects");
    output::table(&["asset", "record", "why"], records.collect(), "no records");
    for held in &garbage.held_back {
        output::line(output::printable(&format!("not collected: {held}")));
    }
    let verb = if garbage.dry_run { "would be collected" } else { "collected" };
    output::line(format!(
        "{} objects of {} and {} records {verb}",
        garbage.objects_total,
        bytes(garbage.bytes_total),
        garbage.records_total
    ));
    Ok(())
}
