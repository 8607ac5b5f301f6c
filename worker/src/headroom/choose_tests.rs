use framemill_schemas::{
    ladder::VideoCodec,
    lane::{Demand, Lane, Size},
    load::Load,
};
use proptest::prelude::*;

use super::*;
use crate::{headroom::HeadroomConfig, machine::models::Generation};

const MIB: u64 = 1024 * 1024;

fn device(index: u32, engines: u32) -> Device {
    Device {
        index,
        engines,
        generation: Generation::Ada,
        codecs: VideoCodec::ALL.to_vec(),
        memory_mib: 10_000,
        sessions: None,
    }
}

fn ask(priority: Priority, engine: Demand, lines: u64, sessions: u32) -> Ask {
    let lane = Lane::Encode { engine, codec: VideoCodec::H264, size: Size::Medium, priority };
    let pixels_per_s = lines * lines * 16 / 9 * 25;
    Ask { lane, load: Load { pixels_per_s, rate_milli: 25_000, effort: 5, sessions, memory_mib: 500 } }
}

fn title(lines: u64) -> Ask {
    ask(Priority::Standard, Demand::Nvenc, lines, 1)
}

fn channel(lines: u64) -> Ask {
    ask(Priority::Live, Demand::Nvenc, lines, 1)
}

/// Something that runs with so many percent of a device's encoders.
fn runs(claim: u128, device: Option<u32>, percent: u64, priority: Priority) -> Running {
    let cost = Cost { encoder: percent * (WHOLE / 100), sessions: 1, memory_mib: 500 };
    let demand = if device.is_some() { Demand::Nvenc } else { Demand::Any };
    let grant = device.map(|device| Grant { device, cost, pace_milli: 1000, published: cost.encoder });
    Running { claim: Uuid::from_u128(claim), ask: ask(priority, demand, 1080, 1), grant }
}

struct World {
    node: Node,
    readings: Readings,
    learned: Learned,
    ceilings: Ceilings,
}

impl World {
    fn new(devices: Vec<Device>) -> Self {
        let gpus = devices.iter().map(|device| GpuReading { index: device.index, ..GpuReading::default() }).collect();
        let states = vec![DeviceState::default(); devices.len()];
        Self {
            node: Node { devices, sessions: None, slots: 2 },
            readings: Readings { gpus, devices: states, ..Readings::default() },
            learned: Learned::default(),
            ceilings: Ceilings::from(&HeadroomConfig::default()),
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts { node: &self.node, ceilings: &self.ceilings, readings: &self.readings, learned: &self.learned }
    }

    fn choose(&self, running: &[Running], asks: &[Ask]) -> Choice {
        choose(&self.node, &self.ceilings, &self.readings, &self.learned, running, asks)
    }

    /// Why the first that asks is not taken; nothing where it is.
    fn refusal(&self, running: &[Running], ask: Ask) -> String {
        match self.choose(running, &[ask]) {
            Choice::Take { .. } => String::new(),
            Choice::Wait(why) => format!("wait: {why}"),
            Choice::Never(why) => format!("never: {why}"),
        }
    }
}

#[test]
fn each_component_has_its_ceiling_and_its_sentence() {
    type Change = fn(&mut World);
    let cases: [(Change, &str); 13] = [
        (|_| {}, ""),
        (|world| world.readings.gpus[0].encoder_percent = Some(88), "wait: gpu 0: encoder 88 % of 90 %, 12 % needed"),
        (|world| world.readings.gpus[0].decoder_percent = Some(90), "wait: gpu 0: decoder 90 % of 90 %"),
        (|world| world.readings.gpus[0].shader_percent = Some(99), "wait: gpu 0: shaders 99 % of 90 %"),
        (
            |world| world.readings.gpus[0].memory_used_bytes = Some(7_800 * MIB),
            "wait: gpu 0: video memory 7800 of 8000 MiB, 500 needed",
        ),
        (
            |world| {
                world.node.devices[0].sessions = Some(2);
                world.readings.gpus[0].sessions = Some(2);
            },
            "wait: gpu 0: sessions 2 of 2, 1 needed",
        ),
        (|world| world.readings.devices[0].believed_sessions = Some(0), "wait: gpu 0: sessions 0 of 0, 1 needed"),
        (|world| world.readings.devices[0].hot = true, "wait: gpu 0: too hot"),
        (|world| world.readings.devices[0].shut = Some("XID 79".to_owned()), "wait: gpu 0: XID 79"),
        (
            |world| world.readings.devices[0].starts_in_ms = Some(700),
            "wait: gpu 0: a process just started; the next may in 700 ms",
        ),
        (|world| world.readings.cpu_percent = Some(85), "wait: processors 85 % of 85 %"),
        (
            |world| {
                world.ceilings.uplink = Some(125_000_000);
                world.readings.sent_per_s = Some(120_000_000);
            },
            "wait: uplink 960 of 1000 Mbit/s",
        ),
        (|world| world.node.devices[0].memory_mib = 400, "never: gpu 0: video memory 0 of 320 MiB, 500 needed"),
    ];
    for (change, expected) in cases {
        let mut world = World::new(vec![device(0, 2)]);
        change(&mut world);
        assert_eq!(world.refusal(&[], title(1080)), expected);
    }
    let none = World::new(Vec::new());
    assert_eq!(none.refusal(&[], title(1080)), "never: no GPU here encodes it");
}

#[test]
fn what_was_just_taken_counts_before_it_is_measured() {
    let world = World::new(vec![device(0, 2)]);
    let running = [runs(1, Some(0), 85, Priority::Standard)];
    assert_eq!(world.refusal(&running, title(1080)), "wait: gpu 0: encoder 85 % of 90 %, 12 % needed");
    // A small one still fits: the large one does not block it.
    assert_eq!(world.refusal(&running, title(240)), "");
    assert_eq!(
        world.choose(&running, &[title(1080), title(240)]),
        world.choose(&running, &[title(240)]).clone_at(1),
        "the first that fits is taken"
    );
}

impl Choice {
    fn clone_at(self, at: usize) -> Self {
        match self {
            Self::Take { grant, .. } => Self::Take { index: at, grant },
            other => other,
        }
    }
}

#[test]
fn the_device_with_most_room_is_taken_and_a_title_gets_what_is_left() {
    let world = World::new(vec![device(0, 2), device(1, 2)]);
    let running = [runs(1, Some(0), 50, Priority::Standard), runs(2, Some(1), 70, Priority::Standard)];
    let Choice::Take { grant: Some(grant), .. } = world.choose(&running, &[title(1080)]) else { panic!("not taken") };
    assert_eq!((grant.device, grant.cost.encoder), (0, 400_000));
    // Forty percent of two encoders is seven times the pace at which it is watched.
    assert_eq!(grant.pace_milli, 7244);
    let Choice::Take { grant: Some(grant), .. } = world.choose(&running, &[channel(1080)]) else { panic!("not taken") };
    assert_eq!((grant.cost.encoder, grant.pace_milli), (55_212, 1000), "a channel takes what it takes");
}

#[test]
fn consumer_cards_share_their_sessions() {
    let mut world = World::new(vec![device(0, 2), device(1, 2)]);
    world.node.sessions = Some(3);
    let running = [runs(1, Some(0), 1, Priority::Standard), runs(2, Some(0), 1, Priority::Standard)];
    assert_eq!(world.refusal(&running, title(240)), "");
    let two = ask(Priority::Standard, Demand::Nvenc, 240, 2);
    assert_eq!(world.refusal(&running, two), "wait: gpu 0: sessions of the machine 2 of 3, 2 needed");
    let four = ask(Priority::Standard, Demand::Nvenc, 240, 4);
    assert_eq!(world.refusal(&running, four), "never: gpu 0: sessions of the machine 0 of 3, 4 needed");
    // A stranger's sessions count too.
    world.readings.gpus[1].sessions = Some(3);
    assert!(world.refusal(&running, title(240)).starts_with("wait: gpu 0: sessions of the machine 3 of 3"));
}

#[test]
fn a_processor_that_encodes_alone_is_filled_by_its_slots() {
    let mut world = World::new(Vec::new());
    world.readings.cpu_percent = Some(100);
    let software = ask(Priority::Standard, Demand::Any, 1080, 1);
    let one = runs(1, None, 0, Priority::Standard);
    assert_eq!(world.refusal(&[one], software), "");
    assert_eq!(world.refusal(&[one, one], software), "wait: 2 of 2 slots are taken");
    // Beside a GPU it must leave the GPU what that needs.
    let mut world = World::new(vec![device(0, 2)]);
    world.readings.cpu_percent = Some(86);
    assert_eq!(world.refusal(&[], software), "wait: processors 86 % of 85 %");
}

#[test]
fn a_channel_takes_the_room_of_the_least_urgent_title_where_the_fewest_have_to_go() {
    let world = World::new(vec![device(0, 2), device(1, 2)]);
    let running = [
        runs(1, Some(0), 60, Priority::Standard),
        runs(2, Some(0), 28, Priority::Bulk),
        runs(3, Some(1), 3, Priority::Bulk),
        runs(4, Some(1), 85, Priority::Live),
    ];
    let facts = world.facts();
    assert_eq!(facts.victim(&channel(1080), &running), Some(Uuid::from_u128(2)));
    assert_eq!(facts.victim(&title(1080), &running), None, "titles make no room for each other");
    let live = [runs(4, Some(0), 85, Priority::Live), runs(5, Some(1), 85, Priority::Live)];
    assert_eq!(facts.victim(&channel(1080), &live), None, "nor channels");
    let slots = [runs(6, None, 0, Priority::Urgent), runs(7, None, 0, Priority::Bulk)];
    let in_software = ask(Priority::Live, Demand::Any, 720, 1);
    assert_eq!(facts.victim(&in_software, &slots), Some(Uuid::from_u128(7)));
}

#[test]
fn channels_do_not_wait_for_the_gap_here_but_in_line() {
    let mut world = World::new(vec![device(0, 2)]);
    world.readings.devices[0].starts_in_ms = Some(1500);
    assert_eq!(world.refusal(&[], channel(1080)), "");
}

#[test]
fn heat_and_load_have_to_fall_well_below_what_shut_them_out() {
    let at = |degrees| GpuReading { temperature_c: Some(degrees), slowdown_c: Some(90), ..GpuReading::default() };
    for (was, degrees, hot) in
        [(false, 84, false), (false, 85, true), (true, 84, true), (true, 80, true), (true, 79, false)]
    {
        assert_eq!(is_hot(was, &at(degrees), 5), hot, "{was} {degrees}");
    }
    assert!(!is_hot(true, &GpuReading::default(), 5), "unknown is not hot");
    for (was, cpu, busy) in [(false, 84, false), (false, 85, true), (true, 80, true), (true, 79, false)] {
        assert_eq!(is_busy(was, Some(cpu), 85), busy, "{was} {cpu}");
    }
}

proptest! {
    /// Whatever asks, in whatever order things end: by what is predicted no device is ever over one of
    /// its ceilings.
    #[test]
    fn no_ceiling_is_ever_passed(steps in prop::collection::vec((0_u8..4, 1_u64..40, 1_u32..5, any::<u16>()), 1..80)) {
        let mut world = World::new(vec![device(0, 2), Device { sessions: Some(7), ..device(1, 1) }]);
        world.node.sessions = Some(12);
        let mut running: Vec<Running> = Vec::new();
        for (number, (kind, lines, sessions, pick)) in (0_u128..).zip(steps) {
            if kind == 0 && !running.is_empty() {
                running.swap_remove(usize::from(pick) % running.len());
            }
            let priority = if kind == 1 { Priority::Live } else { Priority::Bulk };
            let asks = [ask(priority, Demand::Nvenc, lines * 60, sessions)];
            if let Choice::Take { grant, .. } = world.choose(&running, &asks) {
                running.push(Running { claim: Uuid::from_u128(number), ask: asks[0], grant });
            }
            for device in &world.node.devices {
                let grants = running.iter().filter_map(|job| job.grant.as_ref());
                let here = sum(grants.filter(|grant| grant.device == device.index));
                prop_assert!(here.encoder <= WHOLE * 9 / 10);
                prop_assert!(here.memory_mib <= device.memory_mib * 8 / 10);
                prop_assert!(device.sessions.is_none_or(|most| here.sessions <= most));
            }
            prop_assert!(sum(running.iter().filter_map(|job| job.grant.as_ref())).sessions <= 12);
        }
    }
}
