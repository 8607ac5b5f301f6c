//! `framemill ladder`: encode settings the farm knows, and a check of a file.

use framemill_schemas::ladder::Ladder;

use super::client;
use crate::{
    args::{Global, operate},
    client::segment,
    exit::CliError,
    ladder_file, output,
};

/// Runs the command.
pub async fn run(global: &Global, args: operate::Ladder) -> Result<(), CliError> {
    match args {
        operate::Ladder::Ls => {
            let ladders: Vec<Ladder> = client(global)?.list("/v1/ladders").await?;
            if global.json {
                output::json(&ladders);
                return Ok(());
            }
            let rows = ladders.iter().map(|ladder| {
                let rungs = |names: Vec<&str>| names.join(", ");
                vec![
                    ladder.name.clone(),
                    rungs(ladder.video.iter().map(|rung| rung.name.as_str()).collect()),
                    rungs(ladder.audio.iter().map(|rung| rung.name.as_str()).collect()),
                ]
            });
            output::table(&["name", "video", "audio"], rows.collect(), "no ladders");
        }
        operate::Ladder::Show { name } => {
            let ladder: Ladder = client(global)?.get(&format!("/v1/ladders/{}", segment(&name))).await?;
            show(global, &ladder);
        }
        operate::Ladder::Check { file } => {
            let ladder = ladder_file::read(&file)?;
            if global.json {
                output::json(&ladder);
            } else {
                output::line(format!("{} is good: ladder {}", file.display(), ladder.name));
            }
        }
    }
    Ok(())
}

fn show(global: &Global, ladder: &Ladder) {
    if global.json {
        return output::json(ladder);
    }
    output::line(format!(
        "{}: groups of {} ms, segments of {} ms{}",
        ladder.name,
        ladder.gop_s,
        ladder.segment_s,
        if ladder.upscale { ", upscaling" } else { "" }
    ));
    let kbps = |kbps: Option<u32>| kbps.map_or_else(|| "-".to_owned(), |kbps| kbps.to_string());
    let video = ladder.video.iter().map(|rung| {
        vec![
            rung.name.clone(),
            rung.codec.as_str().to_owned(),
            rung.height.to_string(),
            kbps(rung.bitrate_kbps),
            kbps(rung.maxrate_kbps),
            kbps(rung.quality.map(u32::from)),
            rung.preset().to_owned(),
        ]
    });
    output::table(&["video", "codec", "height", "kbit/s", "peak", "quality", "preset"], video.collect(), "no video");
    let audio = ladder.audio.iter().map(|rung| {
        vec![rung.name.clone(), "aac".to_owned(), rung.channels.to_string(), rung.bitrate_kbps.to_string()]
    });
    output::table(&["audio", "codec", "channels", "kbit/s"], audio.collect(), "no audio");
}
