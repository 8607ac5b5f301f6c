//! What the machine can encode with. Pure: from the inventory to findings.

use framemill_schemas::{
    inventory::{Engine, Gpu, Inventory},
    ladder::VideoCodec,
};

use super::{Finding, State};

/// Everything there is to say of an inventory.
pub(super) fn findings(inventory: &Inventory) -> Vec<Finding> {
    let mut findings = vec![software(inventory)];
    findings.extend(
        [Engine::Nvenc, Engine::Vaapi, Engine::Qsv].into_iter().filter_map(|engine| hardware(inventory, engine)),
    );
    match (&inventory.driver_fault, &inventory.driver) {
        (Some(why), _) => findings.push(Finding::bad(
            "gpu",
            State::Warning,
            "the NVIDIA driver does not answer",
            why,
            "load the kernel module and the library of the same version (nvidia-smi says more); \
             members of the groups `video` and `render` may ask it",
        )),
        (None, None) => findings.push(Finding::good("gpu", "no NVIDIA driver is installed")),
        (None, Some(_)) if inventory.gpus.is_empty() => {
            findings.push(Finding::good("gpu", "the NVIDIA driver shows no GPU"));
        }
        (None, Some(_)) => findings.extend(inventory.gpus.iter().map(|gpu| card(inventory, gpu))),
    }
    findings
}

fn names(codecs: &[VideoCodec]) -> String {
    codecs.iter().map(|codec| codec.as_str()).collect::<Vec<_>>().join(", ")
}

fn software(inventory: &Inventory) -> Finding {
    let works = inventory.encodes(Engine::Software);
    let lacks: Vec<_> = VideoCodec::ALL.into_iter().filter(|codec| !works.contains(codec)).collect();
    let answer = answers(inventory, Engine::Software);
    let state = if works.is_empty() { State::Error } else { State::Warning };
    if lacks.is_empty() {
        return Finding::good("software", format!("encodes {}, each tried", names(&works)));
    }
    let cause = answer.unwrap_or_else(|| "this ffmpeg was built without libx264, libx265 or libsvtav1".to_owned());
    let mend = "use a build that has them, or only ladders that do without";
    Finding::bad("software", state, format!("no encoder for {}", names(&lacks)), &cause, mend)
}

/// An engine that works; of one that does not, the card's finding tells, where there is a card.
fn hardware(inventory: &Inventory, engine: Engine) -> Option<Finding> {
    let works = inventory.encodes(engine);
    let found = format!("encodes {}, each tried", names(&works));
    (!works.is_empty()).then(|| Finding::good(engine.as_str(), found))
}

/// What the encoders of an engine answered that do not work, each answer once.
fn answers(inventory: &Inventory, engine: Engine) -> Option<String> {
    let mut said: Vec<&str> = Vec::new();
    for proof in inventory.encoders.iter().filter(|proof| proof.engine == engine) {
        if let Some(answer) = proof.answer.as_deref().filter(|answer| !said.contains(answer)) {
            said.push(answer);
        }
    }
    (!said.is_empty()).then(|| said.join("; "))
}

fn card(inventory: &Inventory, gpu: &Gpu) -> Finding {
    if let Some(fault) = &gpu.fault {
        let found = format!("GPU {} cannot be asked", gpu.index);
        let mend = "look for its last error (XID) in the kernel's log; one that fell off the bus needs a restart";
        return Finding::bad("gpu", State::Warning, found, fault, mend);
    }
    let driver = inventory.driver.as_deref().unwrap_or("unknown");
    let about = format!("{} ({}, {} MiB), driver {driver}", gpu.name, gpu.architecture, gpu.memory_mib);
    if gpu.nvenc_engines == Some(0) {
        return Finding::good("gpu", format!("{about}: it has no encoder, and jobs are encoded in software"));
    }
    if inventory.encodes(Engine::Nvenc).is_empty() {
        let cause =
            answers(inventory, Engine::Nvenc).unwrap_or_else(|| "this ffmpeg was built without nvenc".to_owned());
        let mend = if gpu.mig {
            "a GPU that is cut into instances (MIG) does not encode; switch that off with nvidia-smi -mig 0"
        } else {
            "use an ffmpeg with nvenc, and the libnvidia-encode of the driver's own version; a container needs the capability `video`"
        };
        return Finding::bad("gpu", State::Warning, format!("{about}: it encodes nothing"), &cause, mend);
    }
    if let Some(link) = gpu.pcie.filter(|link| link.width < link.width_max) {
        let found = format!("{about}: {} of {} PCIe lanes", link.width, link.width_max);
        let cause = "a card that is not seated well, or a slot that is wired for less";
        return Finding::bad("gpu", State::Warning, found, cause, "seat it again, or move it to another slot");
    }
    Finding::good("gpu", about)
}

#[cfg(test)]
mod tests {
    use framemill_schemas::inventory::{EncoderProof, PcieLink};

    use super::*;

    fn proof(engine: Engine, codec: VideoCodec, answer: Option<&str>) -> EncoderProof {
        EncoderProof { engine, codec, name: String::new(), answer: answer.map(str::to_owned) }
    }

    /// A machine that encodes everything in software, and answers so to H.264 on its GPU.
    fn machine(nvenc: Option<&str>, gpu: Gpu) -> Inventory {
        let mut encoders: Vec<_> =
            VideoCodec::ALL.into_iter().map(|codec| proof(Engine::Software, codec, None)).collect();
        encoders.push(proof(Engine::Nvenc, VideoCodec::H264, nvenc));
        Inventory { encoders, driver: Some("1.2".to_owned()), gpus: vec![gpu], driver_fault: None }
    }

    fn gpu(engines: Option<u32>) -> Gpu {
        Gpu {
            index: 0,
            uuid: "GPU-1".to_owned(),
            name: "NVIDIA L4".to_owned(),
            architecture: "Ada".to_owned(),
            nvenc_engines: engines,
            memory_mib: 23_034,
            ..Gpu::default()
        }
    }

    fn of_gpu(inventory: &Inventory) -> Finding {
        findings(inventory).into_iter().find(|finding| finding.check == "gpu").unwrap()
    }

    #[test]
    fn a_card_is_judged_by_what_it_proved() {
        let refused = Some("No capable devices found");
        let narrow = PcieLink { generation: 4, width: 4, generation_max: 4, width_max: 16 };
        for (nvenc, card, state, says) in [
            (None, gpu(Some(2)), State::Good, "NVIDIA L4 (Ada, 23034 MiB), driver 1.2"),
            (refused, gpu(Some(0)), State::Good, "it has no encoder"),
            (refused, gpu(Some(2)), State::Warning, "it encodes nothing"),
            (refused, gpu(None), State::Warning, "it encodes nothing"),
            (None, Gpu { pcie: Some(narrow), ..gpu(Some(2)) }, State::Warning, "4 of 16 PCIe lanes"),
            (None, Gpu { fault: Some("lost".to_owned()), ..Gpu::default() }, State::Warning, "cannot be asked"),
        ] {
            let finding = of_gpu(&machine(nvenc, card));
            assert_eq!(finding.state, state, "{finding:?}");
            assert!(finding.found.contains(says), "{finding:?}");
            if says == "it encodes nothing" {
                assert_eq!(finding.cause.as_deref(), refused);
            }
        }
        let cut = of_gpu(&machine(refused, Gpu { mig: true, ..gpu(Some(2)) }));
        assert!(cut.mend.unwrap().contains("MIG"));
    }

    #[test]
    fn a_machine_without_the_driver_is_well_and_one_whose_driver_is_silent_is_not() {
        assert_eq!(of_gpu(&Inventory::default()).state, State::Good);
        let silent = Inventory { driver_fault: Some("mismatch".to_owned()), ..Inventory::default() };
        let finding = of_gpu(&silent);
        assert_eq!((finding.state, finding.cause.as_deref()), (State::Warning, Some("mismatch")));
    }

    #[test]
    fn what_the_processor_cannot_encode_is_named() {
        let mut inventory = machine(None, gpu(Some(2)));
        assert_eq!(findings(&inventory)[0].state, State::Good);
        inventory.encoders[0].answer = Some("Unknown encoder".to_owned());
        let finding = &findings(&inventory)[0];
        assert_eq!((finding.state, finding.cause.as_deref()), (State::Warning, Some("Unknown encoder")));
        assert_eq!(findings(&Inventory::default())[0].state, State::Error);
    }
}
