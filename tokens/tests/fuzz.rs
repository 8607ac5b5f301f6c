//! A long run of changed tokens: `FRAMEMILL_FUZZ_S=600 cargo test -p framemill-tokens --release fuzz -- --ignored`.
//! A failure prints its seed; `FRAMEMILL_FUZZ_SEED` runs it again.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "world/forge.rs"]
mod forge;
mod world;

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ciborium::cbor;
use framemill_schemas::delivery::Algorithm;
use framemill_tokens::{Format, inspect, path_form, sign_with};
use world::{ALGORITHMS, NOW_S, World, claims, kid_of, ways};

/// A small generator (xorshift): the same seed, the same run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    /// Changes bytes in one to four places: other bits, another byte, bytes cut out, doubled, put in or swapped.
    fn change(&mut self, bytes: &mut Vec<u8>) {
        const WEIGHTY: [u8; 24] = *b"\x00\xff\x9f\xbf\x5f\x7f\x80\xa0\x81\xa1\xd8\x1b.~=:!*/\"{}[,";
        for _ in 0..=self.below(4) {
            let (at, to) = (self.below(bytes.len()), self.below(bytes.len()));
            let (low, high) = (at.min(to), (at.max(to)).min(at.min(to) + 40));
            match self.below(7) {
                _ if bytes.is_empty() => bytes.push(self.next() as u8),
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.next() as u8,
                2 => bytes[at] = WEIGHTY[self.below(WEIGHTY.len())],
                3 => drop(bytes.drain(low..high)),
                4 => {
                    let piece = bytes[low..high].to_vec();
                    bytes.splice(to..to, piece);
                }
                5 => bytes.insert(at, WEIGHTY[self.below(WEIGHTY.len())]),
                _ => bytes.swap(at, to),
            }
        }
    }
}

/// The bytes below the base64 of a part, changed.
fn changed_inside(part: &str, chance: &mut Chance) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
    chance.change(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What is inside a token changed, and signed again by whoever has the key: an issuer that has gone mad.
fn resigned(format: Format, token: &str, world: &World, chance: &mut Chance) -> Option<String> {
    let secret = &world.signing(&kid_of(Algorithm::Hs256, "acme")).signs;
    match format {
        Format::Jwt => {
            let payload = token.split('.').nth(1)?;
            let mut bytes = URL_SAFE_NO_PAD.decode(payload).unwrap();
            chance.change(&mut bytes);
            let message = format!("{}.{}", token.split('.').next()?, URL_SAFE_NO_PAD.encode(bytes));
            Some(format!("{message}.{}", forge::b64(forge::mac(secret, message.as_bytes()))))
        }
        Format::Compact => {
            let mut bytes = token.rsplit_once("~hmac=")?.0.as_bytes().to_vec();
            chance.change(&mut bytes);
            Some(forge::compact(secret, std::str::from_utf8(&bytes).ok()?))
        }
        Format::Cat => {
            let bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
            let ciborium::Value::Tag(_, cose) = ciborium::from_reader(bytes.as_slice()).unwrap() else { return None };
            let ciborium::Value::Tag(_, items) = *cose else { return None };
            let mut payload = items.as_array()?[2].as_bytes()?.clone();
            chance.change(&mut payload);
            Some(forge::cat(secret, &kid_of(Algorithm::Hs256, "acme"), &payload))
        }
    }
}

/// A Common Access Token that asks for answers and for renewal besides.
fn with_more(world: &World, algorithm: Algorithm) -> String {
    let payload = cbor!({
        2 => "a", 4 => NOW_S + 60, 6 => NOW_S, 7 => ciborium::Value::Bytes(b"s".to_vec()),
        312 => {3 => {1 => "/live/acme/"}},
        322 => {4 => [307, {"location" => "https://auth.example.net/?a=b"}], 312 => [404, {"cache-control" => "no-store"}]},
        323 => {0 => 0, 1 => 60, 2 => 20, 3 => "CTA-Common-Access-Token", 7 => 302}
    });
    let kid = kid_of(Algorithm::Hs256, "acme");
    let token = forge::cat(&world.signing(&kid).signs, &kid, &forge::cbor_bytes(&payload.unwrap()));
    let more = world.verify(&token).unwrap().more;
    let key = world.signing(&kid_of(algorithm, "acme"));
    sign_with(Format::Cat, key, algorithm, &claims(), &more, NOW_S, &world.rng).unwrap()
}

fn run(limit: Duration, rounds_max: u64) {
    let seed = std::env::var("FRAMEMILL_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap() | 1
    });
    eprintln!("FRAMEMILL_FUZZ_SEED={seed}");
    let mut chance = Chance(seed);
    let world = World::new();
    let mut tokens: Vec<_> = ways().into_iter().map(|way| (way, world.sign(way.0, way.1, &claims()))).collect();
    tokens.extend(ALGORITHMS.map(|algorithm| ((Format::Cat, algorithm), with_more(&world, algorithm))));
    let (begin, mut rounds, mut mad) = (Instant::now(), 0_u64, 0_u64);
    while rounds < rounds_max && (rounds % 64 != 0 || begin.elapsed() < limit) {
        rounds += 1;
        let ((format, algorithm), token) = &tokens[chance.below(tokens.len())];
        let changed = match (chance.below(3), format) {
            (0, _) => {
                let mut bytes = token.clone().into_bytes();
                chance.change(&mut bytes);
                String::from_utf8_lossy(&bytes).into_owned()
            }
            (1, Format::Jwt) => {
                let which = chance.below(3);
                let parts = token.split('.').enumerate();
                let parts = parts.map(
                    |(index, part)| {
                        if index == which { changed_inside(part, &mut chance) } else { part.to_owned() }
                    },
                );
                parts.collect::<Vec<_>>().join(".")
            }
            (1, Format::Cat) => changed_inside(token, &mut chance),
            (1, Format::Compact) => changed_inside(&path_form(token), &mut chance),
            _ if *algorithm == Algorithm::Hs256 => {
                let Some(changed) = resigned(*format, token, &world, &mut chance) else { continue };
                // It may pass, but never beyond what its key may.
                if let Ok(verified) = world.verify(&changed) {
                    mad += 1;
                    assert_eq!(verified.claims.tenant.as_str(), "acme", "{changed}");
                    assert!(world.keys[0].scope.cover(&verified.claims.paths), "{changed}");
                    assert_eq!(verified.claims.check(), Ok(()), "{changed}");
                }
                inspect(&changed);
                continue;
            }
            _ => continue,
        };
        // Now and then a change is none.
        if changed == *token || changed == path_form(token) {
            continue;
        }
        if let Ok(verified) = world.verify(&changed) {
            // Outside of what is signed CBOR can be written in more ways than one; what it says is the same.
            assert!(*format == Format::Cat && is_other_form(token, &changed), "{format:?} {algorithm:?}: {changed}");
            assert_eq!(verified.claims, claims(), "{changed}");
        }
        inspect(&changed);
    }
    eprintln!("{rounds} changed tokens in {:.0?}; {mad} well signed ones let in", begin.elapsed());
}

/// Whether two tokens differ in nothing but how their envelope is written: the four parts are the same.
fn is_other_form(one: &str, other: &str) -> bool {
    fn parts(token: &str) -> Option<Vec<Vec<u8>>> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let mut value: ciborium::Value = ciborium::from_reader(bytes.as_slice()).ok()?;
        while let ciborium::Value::Tag(_, inner) = value {
            value = *inner;
        }
        let items = value.into_array().ok()?;
        [0, 2, 3].map(|index| items.get(index)?.as_bytes().cloned()).into_iter().collect()
    }
    parts(one).is_some() && parts(one) == parts(other)
}

#[test]
fn fuzz_a_little() {
    run(Duration::from_secs(2), 20_000);
}

#[test]
#[ignore = "takes as long as FRAMEMILL_FUZZ_S says"]
fn fuzz_long() {
    let limit_s = std::env::var("FRAMEMILL_FUZZ_S").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    run(Duration::from_secs(limit_s), u64::MAX);
}
