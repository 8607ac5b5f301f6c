//! `framemill capacity`: how many channels a fleet of GPUs takes, and what ends first.

use std::collections::BTreeMap;

use framemill_schemas::{
    ladder::Ladder,
    node::{NodeDetail, NodeView},
};
use framemill_worker::capacity::{self, Binds, Egress, Model, Preset, Share, Wanted};
use serde::Serialize;

use super::client;
use crate::{
    args::{
        Global,
        operate::{Capacity, Content, GpuPreset},
    },
    client::segment,
    exit::CliError,
    ladder_file, output,
};

/// The ladder where none is named: as a submission has it.
const LADDER: &str = "web-h264";
/// Where every figure comes from.
const LABEL: &str = "vendor-published rates and planning rules, not measured";

/// All GPUs of one model.
#[derive(Debug, Serialize)]
struct Row {
    model: String,
    gpus: u32,
    engines: u32,
    each: Share,
    channels: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lacks: Vec<&'static str>,
}

/// The document.
#[derive(Debug, Serialize)]
struct Report {
    source: &'static str,
    ladder: String,
    models: Vec<Row>,
    /// GPUs of the present fleet whose model is not known here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unknown: BTreeMap<String, u32>,
    channels: u64,
    sessions: u64,
    title_hours_per_hour: f64,
    viewers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    egress: Option<Egress>,
}

/// GPUs by model; those that are not known by their driver's name.
#[derive(Default)]
struct Fleet {
    known: Vec<(&'static Model, u32)>,
    unknown: BTreeMap<String, u32>,
}

impl Fleet {
    fn add(&mut self, model: &'static Model, gpus: u32) {
        match self.known.iter_mut().find(|(known, _)| known.name == model.name) {
            Some((_, count)) => *count = count.saturating_add(gpus),
            None => self.known.push((model, gpus)),
        }
    }
}

/// Runs the command.
pub async fn run(global: &Global, args: Capacity) -> Result<(), CliError> {
    let ladder = ladder_file::written_out(Some(args.ladder.as_deref().unwrap_or(LADDER)))?;
    let fleet = if args.gpus.is_empty() { present(global).await? } else { described(&args.gpus)? };
    let report = report(&fleet, &ladder, &args);
    if global.json {
        output::json(&report);
    } else {
        show(&report);
    }
    Ok(())
}

/// A fleet as a person writes it.
fn described(gpus: &[String]) -> Result<Fleet, CliError> {
    let mut fleet = Fleet::default();
    for text in gpus {
        let wrong = |what: String| {
            let names: Vec<String> = capacity::names().map(str::to_lowercase).collect();
            CliError::usage(what).at("--gpu").mend(format!("write it as l4=8,t4=2; known are {}", names.join(", ")))
        };
        let (name, count) = text.split_once('=').unwrap_or((text, "1"));
        let model = capacity::named(name.trim()).ok_or_else(|| wrong(format!("no GPU {name:?} is known")))?;
        let count = count.trim().parse::<u32>().ok().filter(|count| *count > 0);
        fleet.add(model, count.ok_or_else(|| wrong(format!("{text:?} names no number of GPUs")))?);
    }
    Ok(fleet)
}

/// The GPUs that the farm's workers found.
async fn present(global: &Global) -> Result<Fleet, CliError> {
    let client = client(global)?;
    let mut fleet = Fleet::default();
    for node in client.list::<NodeView>("/v1/nodes").await?.iter().filter(|node| node.present) {
        let detail: NodeDetail = client.get(&format!("/v1/nodes/{}", segment(node.id.as_str()))).await?;
        for gpu in detail.inventory.iter().flat_map(|inventory| &inventory.gpus) {
            match capacity::of_driver(&gpu.name) {
                Some(model) => fleet.add(model, 1),
                None => *fleet.unknown.entry(gpu.name.clone()).or_default() += 1,
            }
        }
    }
    Ok(fleet)
}

fn report(fleet: &Fleet, ladder: &Ladder, args: &Capacity) -> Report {
    let content = match args.content {
        Content::Sport => capacity::Content::Sport,
        Content::News => capacity::Content::News,
    };
    let preset = match args.preset {
        GpuPreset::P1 => Preset::P1,
        GpuPreset::P3 => Preset::P3,
        GpuPreset::P5 => Preset::P5,
        GpuPreset::P7 => Preset::P7,
    };
    let wanted = Wanted { ladder, rate: args.rate, preset, content, watermark: args.watermark };
    let rows = fleet.known.iter().map(|(model, gpus)| {
        let each = capacity::of_gpu(model, &wanted);
        Row {
            model: model.name.to_owned(),
            gpus: *gpus,
            engines: model.engines,
            each,
            channels: each.channels * u64::from(*gpus),
            lacks: capacity::lacks(model, ladder).into_iter().map(|codec| codec.as_str()).collect(),
        }
    });
    let models: Vec<Row> = rows.collect();
    let sum = |of: fn(&Share) -> u64| models.iter().map(|row| of(&row.each) * u64::from(row.gpus)).sum::<u64>();
    let hours_milli = u32::try_from(sum(|share| share.title_hours_milli)).unwrap_or(u32::MAX);
    Report {
        source: LABEL,
        ladder: ladder.name.clone(),
        channels: sum(|share| share.channels),
        sessions: sum(|share| share.sessions),
        title_hours_per_hour: f64::from(hours_milli) / 1000.0,
        viewers: args.viewers,
        egress: capacity::egress(ladder, args.viewers),
        unknown: fleet.unknown.clone(),
        models,
    }
}

fn binds(row: &Row) -> String {
    match row.each.binds {
        Binds::Encoder => "encoder".to_owned(),
        Binds::VideoMemory => "video memory".to_owned(),
        Binds::Unknown => "no rate is published".to_owned(),
        Binds::NoEncoder if row.engines == 0 => "it has no encoder".to_owned(),
        Binds::NoEncoder => format!("it does not encode {}", row.lacks.join(", ")),
    }
}

fn show(report: &Report) {
    if report.models.is_empty() && report.unknown.is_empty() {
        return output::line("no node of the farm has an NVIDIA GPU; describe a fleet with --gpu l4=8");
    }
    let rows = report.models.iter().map(|row| {
        vec![
            row.model.clone(),
            row.gpus.to_string(),
            row.each.channels.to_string(),
            row.channels.to_string(),
            binds(row),
        ]
    });
    let header = ["gpu", "number", "channels each", "channels", "ends first"];
    output::table(&header, rows.collect(), "no model that is known");
    for (name, count) in &report.unknown {
        output::line(output::printable(&format!("{count} of {name}: not known here, and not counted")));
    }
    let (channels, sessions) = (report.channels, report.sessions);
    output::line(format!("{channels} channels of {} at once, in {sessions} encode sessions", report.ladder));
    output::line(format!("or {:.1} hours of titles an hour", report.title_hours_per_hour));
    if let Some(egress) = &report.egress {
        let gbit = |kbps: u64| format!("{}.{:01}", kbps / 1_000_000, kbps % 1_000_000 / 100_000);
        let (least, most) = (gbit(egress.least_kbps), gbit(egress.most_kbps));
        let viewers = report.viewers;
        output::line(format!("{viewers} viewers draw {least} to {most} Gbit/s, by the rendition they watch"));
    }
    output::line(report.source);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(text: &[&str]) -> Result<Fleet, CliError> {
        described(&text.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_fleet_is_read_as_it_is_written() {
        let found = fleet(&["l4=8", "T4=2", "l4"]).unwrap();
        let found: Vec<_> = found.known.iter().map(|(model, count)| (model.name, *count)).collect();
        assert_eq!(found, [("L4", 9), ("T4", 2)]);
        for (text, says) in [("x9=1", "no GPU"), ("l4=", "no number"), ("l4=0", "no number"), ("l4=-1", "no number")] {
            let error = fleet(&[text]).err().unwrap();
            assert!(error.what.contains(says) && error.mend.unwrap().contains("l4"), "{text}");
        }
    }
}
