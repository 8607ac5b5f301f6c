//! Events: stored once, followed from where one left off.

use std::pin::pin;

use framemill_schemas::{
    event::{Event, EventData},
    ids::Tenant,
};
use futures_util::StreamExt;

use crate::server::{Server, eventually, soon};

fn event(number: u32) -> Event {
    let data = EventData { attempt: Some(number), ..EventData::default() };
    let tenant = Tenant::default_tenant();
    Event::derive("record", &format!("{number}"), "probe.started".to_owned(), &tenant, 1_700_000_000_000, data)
}

#[tokio::test]
async fn events_are_followed_from_where_one_left_off() {
    let mut server = Server::start().await;
    let queue = server.connect().await;
    let all = "events.>".to_owned();
    let mut live = pin!(queue.events(all.clone(), None).await.unwrap());
    for number in 1..=3 {
        queue.publish_event(&event(number)).await.unwrap();
        queue.publish_event(&event(number)).await.unwrap();
    }
    let mut sequences = Vec::new();
    for number in 1..=3 {
        let (sequence, heard) = soon("an event", live.next()).await.unwrap().unwrap();
        assert_eq!(heard, event(number));
        sequences.push(sequence);
    }
    let mut resumed = pin!(queue.events(all.clone(), Some(sequences[1])).await.unwrap());
    let late = pin!(queue.events("events.default.probe.*".to_owned(), None).await.unwrap());
    assert_eq!(soon("the third", resumed.next()).await.unwrap().unwrap(), (sequences[2], event(3)));

    // Streams that have heard nothing yet must not start over after a restart.
    server.kill();
    server.restart().await;
    soon("sent", eventually("sent", async || queue.publish_event(&event(4)).await.ok())).await;
    for stream in [live, resumed] {
        assert_eq!(soon("the fourth", { stream }.next()).await.unwrap().unwrap().1, event(4));
    }
    assert_eq!(soon("the fourth", { late }.next()).await.unwrap().unwrap().1, event(4));
}
