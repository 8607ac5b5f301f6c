//! The machine under the farm: kernel, limits, clock, and what stands between a GPU and a process. Each
//! reads a text of the system and says what it means; the reading is here, the meaning in pure functions.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use framemill_worker::gpu::GpuReading;
use nix::{
    sys::resource::{Resource, getrlimit},
    unistd::{AccessFlags, access},
};
use tokio::process::Command;

use super::{Finding, State};
use crate::farm::nats::on_path;

/// Oldest kernel that tells how long things wait for a processor (PSI), which headroom shows.
const KERNEL_MIN: (u32, u32) = (4, 20);
/// Open files that a busy node needs: an ffmpeg of twelve rungs, its segments, and many of both.
const FILES_MIN: u64 = 4096;
/// Longest time a program may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// NVIDIA's number on the PCI bus.
const NVIDIA: &str = "0x10de";
/// A window into a GPU's memory of this size is the one of a machine without resizable BAR.
const SMALL_WINDOW: u64 = 256 * 1024 * 1024;

/// Everything there is to say of a machine whose GPUs do this now.
pub(super) async fn findings(gpus: &[GpuReading]) -> Vec<Finding> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut findings = vec![
        kernel(&read("/proc/sys/kernel/osrelease"), Path::new("/proc/pressure/cpu").exists()),
        files(),
        clock(said("timedatectl", &["show", "-p", "NTPSynchronized", "--value"]).await.as_deref()),
    ];
    let nodes = device_nodes();
    findings.extend(access_to(&nodes));
    let module = read("/proc/driver/nvidia/version");
    if !module.is_empty() {
        findings.push(Finding::good("module", module.lines().next().unwrap_or_default().trim()));
        findings.extend(windows());
        findings.push(container(
            Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists(),
            std::env::var("NVIDIA_DRIVER_CAPABILITIES").ok().as_deref(),
            on_path("nvidia-ctk").is_some() || on_path("nvidia-container-cli").is_some(),
        ));
    }
    findings.extend(gpus.iter().filter_map(thermal));
    findings
}

/// What a program says; nothing where it is not there, fails or takes its time.
async fn said(program: &str, args: &[&str]) -> Option<String> {
    let run = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(ANSWER, run).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn kernel(release: &str, tells_pressure: bool) -> Finding {
    let release = release.trim();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if version < KERNEL_MIN {
        let cause = "it does not tell how long things wait for a processor";
        return Finding::bad("kernel", State::Warning, format!("Linux {release}"), cause, "use 4.20 or newer");
    }
    let pressure = if tells_pressure { "" } else { ", without pressure (PSI); its metric is missing" };
    Finding::good("kernel", format!("Linux {release}{pressure}"))
}

fn files() -> Finding {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return Finding::good("limits", "open files unknown");
    };
    if soft < FILES_MIN {
        let cause = "each ffmpeg holds a pipe for every rung, and each connection a file";
        let mend = "raise it: ulimit -n, LimitNOFILE= of a unit, or --ulimit of a container";
        return Finding::bad("limits", State::Warning, format!("{soft} open files, {hard} at most"), cause, mend);
    }
    Finding::good("limits", format!("{soft} open files"))
}

/// `answer`: whether the clock is kept in step, as the system says.
fn clock(answer: Option<&str>) -> Finding {
    match answer {
        Some("yes") => Finding::good("clock", "kept in step with the network's"),
        Some("no") => Finding::bad(
            "clock",
            State::Warning,
            "not kept in step with the network's",
            "leases and tokens, and how long jobs wait, are told by the clocks of many machines",
            "run chrony or systemd-timesyncd",
        ),
        _ => Finding::good("clock", "whether it is kept in step is not known here (no timedatectl)"),
    }
}

/// Files through which a process reaches GPUs.
fn device_nodes() -> Vec<PathBuf> {
    let in_folder = |folder: &str, start: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let wanted = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start)) && !path.is_dir()
        };
        entries.filter(wanted).collect::<Vec<_>>()
    };
    let mut nodes = in_folder("/dev", "nvidia");
    nodes.extend(in_folder("/dev/dri", "renderD"));
    nodes.sort();
    nodes
}

fn access_to(nodes: &[PathBuf]) -> Option<Finding> {
    if nodes.is_empty() {
        return None;
    }
    let may = |path: &&PathBuf| access(path.as_path(), AccessFlags::R_OK | AccessFlags::W_OK).is_ok();
    let refused: Vec<String> = nodes.iter().filter(|path| !may(path)).map(|path| path.display().to_string()).collect();
    let all = nodes.len();
    if refused.is_empty() {
        return Some(Finding::good("devices", format!("{all} device nodes, all of them open to this user")));
    }
    let mend = "add the user to the groups `video` and `render`, and log in again; give a container the devices";
    let found = format!("{} of {all} device nodes are closed to this user", refused.len());
    Some(Finding::bad("devices", State::Warning, found, &refused.join(", "), mend))
}

/// The windows into the memory of each NVIDIA GPU.
fn windows() -> Vec<Finding> {
    let devices = std::fs::read_dir("/sys/bus/pci/devices").into_iter().flatten().flatten();
    let read = |path: &Path, name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default();
    let gpus = devices
        .map(|entry| entry.path())
        .filter(|path| read(path, "vendor").trim() == NVIDIA && read(path, "class").starts_with("0x03"));
    let name = |path: &Path| path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    gpus.filter_map(|path| window(&name(&path), &read(&path, "resource"))).collect()
}

/// What the second line of a PCI device's `resource` says: first and last address of its window.
fn window(device: &str, resource: &str) -> Option<Finding> {
    let mut numbers = resource
        .lines()
        .nth(1)?
        .split_whitespace()
        .map(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_default());
    let (first, last) = (numbers.next()?, numbers.next()?);
    let bytes = last.checked_sub(first)?.checked_add(1).filter(|_| last > 0)?;
    let mib = bytes / (1024 * 1024);
    let found = format!("{device}: a window of {mib} MiB into the GPU's memory");
    if bytes <= SMALL_WINDOW {
        let cause = "resizable BAR is off, or the machine cannot map above 4 GiB";
        let mend = "switch on `Above 4G decoding` and `Re-Size BAR` in the firmware; it is not needed, only faster";
        return Some(Finding::bad("bar", State::Warning, found, cause, mend));
    }
    Some(Finding::good("bar", found))
}

/// A container needs the driver's library for video, and a host something that hands it in.
fn container(inside: bool, capabilities: Option<&str>, toolkit: bool) -> Finding {
    if inside {
        let granted = capabilities.unwrap_or("compute,utility");
        let has_video = granted.split(',').any(|name| matches!(name.trim(), "video" | "all"));
        if !has_video {
            let mend = "set NVIDIA_DRIVER_CAPABILITIES=compute,video,utility for the container";
            let cause = "without `video` libnvidia-encode is not handed in";
            return Finding::bad("container", State::Warning, format!("capabilities {granted}"), cause, mend);
        }
        return Finding::good("container", format!("capabilities {granted}"));
    }
    let found = if toolkit {
        "the NVIDIA container toolkit is installed"
    } else {
        "no NVIDIA container toolkit; only containers need it"
    };
    Finding::good("container", found)
}

/// Something only where it is too hot, or held back.
fn thermal(reading: &GpuReading) -> Option<Finding> {
    let degrees = reading.temperature_c?;
    let hot = reading.slowdown_c.is_some_and(|slows| degrees + 5 >= slows);
    if !hot && reading.throttled != Some(true) {
        return Some(Finding::good("thermal", format!("GPU {} at {degrees} °C", reading.index)));
    }
    let slows = reading.slowdown_c.map_or_else(String::new, |slows| format!(", it slows down at {slows}"));
    let cause = "heat or power holds its clocks down; sound and picture of channels then drift apart";
    let mend = "look at its fans, its airflow and its power limit";
    Some(Finding::bad("thermal", State::Warning, format!("GPU {} at {degrees} °C{slows}", reading.index), cause, mend))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_of_the_system_has_its_meaning() {
        for (release, state) in [
            ("6.1.0-18-amd64\n", State::Good),
            ("4.20.1", State::Good),
            ("4.18.0-513.el8.x86_64", State::Warning),
            ("", State::Warning),
        ] {
            assert_eq!(kernel(release, true).state, state, "{release}");
        }
        for (answer, state) in [(Some("yes"), State::Good), (Some("no"), State::Warning), (None, State::Good)] {
            assert_eq!(clock(answer).state, state);
        }
        for (inside, capabilities, state) in [
            (false, None, State::Good),
            (true, None, State::Warning),
            (true, Some("compute,utility"), State::Warning),
            (true, Some("compute, video"), State::Good),
            (true, Some("all"), State::Good),
        ] {
            assert_eq!(container(inside, capabilities, false).state, state, "{inside} {capabilities:?}");
        }
    }

    #[test]
    fn a_small_window_is_told_from_a_large_one() {
        let lines = |last: &str| format!("0xfb000000 0xfbffffff 0x40200\n0x6000000000 {last} 0x14220c\n");
        let of = |last| window("0000:41:00.0", &lines(last)).map(|finding| (finding.state, finding.found));
        let found = of("0x600fffffff").unwrap();
        assert_eq!(found.0, State::Warning);
        assert!(found.1.contains("256 MiB"), "{}", found.1);
        assert_eq!(of("0x67ffffffff").unwrap().0, State::Good);
        assert!(window("x", "").is_none() && window("x", "0x0 0x0 0x0\n0x0 0x0 0x0\n").is_none());
    }

    #[test]
    fn a_gpu_that_is_hot_or_held_back_is_told() {
        let at = |degrees, throttled| GpuReading {
            temperature_c: Some(degrees),
            slowdown_c: Some(90),
            throttled: Some(throttled),
            ..GpuReading::default()
        };
        let state = |reading: &GpuReading| thermal(reading).map(|finding| finding.state);
        assert_eq!(state(&at(60, false)), Some(State::Good));
        assert_eq!(state(&at(85, false)), Some(State::Warning));
        assert_eq!(state(&at(60, true)), Some(State::Warning));
        assert_eq!(state(&GpuReading::default()), None);
    }
}
