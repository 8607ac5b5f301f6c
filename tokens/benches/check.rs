//! What a token costs: verifying one of each format and algorithm, a forged one of each, and letting a request in.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../tests/world/mod.rs"]
mod world;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use framemill_tokens::{Refusal, admit, path_form};
use world::{World, asked, claims, ways};

/// The same token with another letter in the middle of what proves it.
fn forged(token: &str) -> String {
    let at = token.len() - 20;
    let other = if token.as_bytes()[at] == b'0' { "1" } else { "0" };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}

fn check(criterion: &mut Criterion) {
    let world = World::new();
    for (format, algorithm) in ways() {
        let name = format!("{}/{algorithm:?}", format.as_str());
        let token = world.sign(format, algorithm, &claims());
        let forged = forged(&token);
        assert!(world.verify(&token).is_ok());
        assert_eq!(world.verify(&forged), Err(Refusal::Signature));
        criterion.bench_function(&format!("verify/{name}"), |bench| {
            bench.iter(|| world.verify(black_box(&token)).is_ok());
        });
        criterion.bench_function(&format!("forged/{name}"), |bench| {
            bench.iter(|| world.verify(black_box(&forged)).is_err());
        });
    }
    let token = world.sign(framemill_tokens::Format::Compact, world::ALGORITHMS[0], &claims());
    let in_path = path_form(&token).into_owned();
    criterion
        .bench_function("verify/compact in a path", |bench| bench.iter(|| world.verify(black_box(&in_path)).is_ok()));
    let verified = world.verify(&token).unwrap();
    criterion.bench_function("admit", |bench| bench.iter(|| admit(black_box(&verified), black_box(&asked())).is_ok()));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2))
        .without_plots();
    targets = check
}
criterion_main!(benches);
