use framemill_schemas::{ladder::VideoCodec, load::Load};

use super::*;
use crate::{
    headroom::Device,
    machine::{gpu::GpuReading, models::Generation},
};

fn headroom(now: &Now, slots: usize) -> Headroom {
    let device = Device {
        index: 3,
        engines: 2,
        generation: Generation::Ada,
        codecs: VideoCodec::ALL.to_vec(),
        memory_mib: 24_000,
        sessions: None,
    };
    let node = Node { devices: vec![device], sessions: None, slots };
    Headroom::new(node, &HeadroomConfig::default(), now.clone())
}

fn ask(priority: Priority, lines: u64) -> Ask {
    let lane = Lane::Encode { engine: Demand::Nvenc, codec: VideoCodec::H264, size: Size::Medium, priority };
    let pixels_per_s = lines * lines * 16 / 9 * 25;
    Ask { lane, load: Load { pixels_per_s, rate_milli: 25_000, effort: 5, sessions: 1, memory_mib: 500 } }
}

fn read(now: &Now, at: Instant, percent: u32) {
    let reading = GpuReading { index: 3, encoder_percent: Some(percent), ..GpuReading::default() };
    now.set_gpus(vec![reading], at);
}

#[tokio::test]
async fn titles_are_taken_one_start_after_another() {
    let (now, at) = (Now::default(), Instant::now());
    let mut room = headroom(&now, 2);
    room.look(at);
    assert_eq!(room.offer(&ask(Priority::Bulk, 480)), Offer::Wait(format!("gpu 3: {SILENT}")));
    read(&now, at, 0);
    room.look(at);
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    assert_eq!(room.offer(&ask(Priority::Bulk, 480)), Offer::Take(Some(3)));
    assert_eq!(room.take(first, ask(Priority::Bulk, 480)), Offer::Take(Some(3)));
    for look in [false, true] {
        if look {
            room.look(at);
        }
        assert!(matches!(room.offer(&ask(Priority::Bulk, 480)), Offer::Wait(_)), "looked: {look}");
        assert!(!room.opens(ask(Priority::Bulk, 480).lane));
    }
    let cancel = CancellationToken::new();
    let mut seat = room.start(first, &cancel).await.unwrap();
    room.look(Instant::now());
    assert!(matches!(room.offer(&ask(Priority::Bulk, 480)), Offer::Wait(_)));
    assert_eq!(room.offer(&ask(Priority::Live, 480)), Offer::Take(Some(3)), "channels wait in line");
    seat.first_picture();
    room.look(Instant::now() + Duration::from_millis(1499));
    read(&now, Instant::now(), 0);
    room.look(Instant::now() + Duration::from_millis(1600));
    assert_eq!(room.offer(&ask(Priority::Bulk, 480)), Offer::Take(Some(3)));
    assert_eq!(room.take(second, ask(Priority::Bulk, 480)), Offer::Take(Some(3)));
    // Nobody starts before its turn, and who is called off leaves the line.
    cancel.cancel();
    assert!(room.start(second, &cancel).await.is_none());
    room.end(first);
    room.end(second);
    assert!(room.grant(first).is_none());
}
