//! Keys, claims and tokens that the tests share.
#![allow(dead_code)]

use framemill_schemas::delivery::{
    Address, Algorithm, Claims, Paths, SIGNING_KEY_VERSION, SigningKey, TOKEN_KEY_VERSION, TokenKey, Yields,
};
use framemill_tokens::{Asked, Format, Keyring, Method, Refusal, Verified, generate, sign};
use ring::rand::SystemRandom;

/// The moment of every test.
pub const NOW_S: i64 = 1_764_450_000;
pub const ALGORITHMS: [Algorithm; 3] = [Algorithm::Hs256, Algorithm::Es256, Algorithm::EdDsa];

/// Every way to sign: format and algorithm.
pub fn ways() -> Vec<(Format, Algorithm)> {
    let all = Format::ALL.into_iter().flat_map(|format| ALGORITHMS.map(|algorithm| (format, algorithm)));
    all.filter(|(format, algorithm)| format.takes(*algorithm)).collect()
}

/// A key for each algorithm of tenant `acme`, and of another.
pub struct World {
    pub keys: Vec<TokenKey>,
    pub signing: Vec<SigningKey>,
    pub ring: Keyring,
    pub rng: SystemRandom,
}

pub fn kid_of(algorithm: Algorithm, tenant: &str) -> String {
    format!("{tenant}-{algorithm:?}")
}

impl World {
    pub fn new() -> Self {
        let rng = SystemRandom::new();
        let (mut keys, mut signing) = (Vec::new(), Vec::new());
        for (tenant, scope) in [("acme", ["/live/acme/", "/vod/acme/"]), ("other", ["/live/other/", "/vod/other/"])] {
            for algorithm in ALGORITHMS {
                let (verifies, signs) = generate(algorithm, &rng).unwrap();
                let kid = kid_of(algorithm, tenant);
                keys.push(TokenKey {
                    v: TOKEN_KEY_VERSION,
                    kid: kid.clone(),
                    tenant: tenant.parse().unwrap(),
                    algorithm,
                    scope: paths(&scope),
                    verifies,
                    created_ms: 0,
                    retired_ms: None,
                });
                signing.push(SigningKey { v: SIGNING_KEY_VERSION, kid, signs });
            }
        }
        let (ring, faults) = Keyring::new(keys.clone());
        assert_eq!((ring.len(), faults.len()), (6, 0));
        Self { keys, signing, ring, rng }
    }

    pub fn signing(&self, kid: &str) -> &SigningKey {
        self.signing.iter().find(|key| key.kid == kid).unwrap()
    }

    pub fn sign(&self, format: Format, algorithm: Algorithm, claims: &Claims) -> String {
        let key = self.signing(&kid_of(algorithm, "acme"));
        sign(format, key, algorithm, claims, NOW_S, &self.rng).unwrap()
    }

    pub fn verify(&self, token: &str) -> Result<Verified, Refusal> {
        self.ring.verify(token, NOW_S)
    }
}

pub fn paths(all: &[&str]) -> Paths {
    all.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>().try_into().unwrap()
}

/// Ten minutes of one channel, with everything that can be asked for.
pub fn claims() -> Claims {
    Claims {
        tenant: "acme".parse().unwrap(),
        account: "viewer@example.org".to_owned(),
        session: "0198c0de-0000-7000-8000-000000000000".to_owned(),
        paths: paths(&["/live/acme/news/", "/live/acme/news.m3u8"]),
        regions: vec!["DE".parse().unwrap(), "AT".parse().unwrap()],
        origins: vec!["https://tv.example".to_owned(), "http://localhost:8080".to_owned()],
        address: Address::Within("203.0.113.0/24".parse().unwrap()),
        not_before_s: NOW_S,
        expires_s: NOW_S + 600,
        sessions_max: 3,
        yields: Yields::Newest,
    }
}

/// A request that those claims let in.
pub fn asked() -> Asked<'static> {
    Asked {
        path: "/live/acme/news/t1-00c0ffee/720p/7.m4s",
        method: Method::Get,
        address: "203.0.113.9".parse().unwrap(),
        origin: Some("https://tv.example"),
        region: Some("DE".parse().unwrap()),
        now_s: NOW_S + 10,
    }
}
