//! What goes wrong, and the only source of chance.

use uuid::Uuid;

use super::net::{KEEPERS, NODES, Who};

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Crash,
    Restart,
    Stall,
    Cut,
    Mend,
    Stop,
    ServerStall,
}

/// A rule that is broken on purpose, to see that it is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slip {
    /// The hint is acknowledged although nobody knows whether the commit is stored.
    AcksInDoubt,
    /// A commit that was refused is stored over what stands there.
    CommitsOver,
    /// A claim is made of a job that somebody holds.
    ClaimsHeld,
    /// Nobody looks for ready jobs without a hint.
    NoSweep,
    /// Nobody takes jobs back from silent holders.
    NoReaper,
}

/// What goes wrong in one schedule, in thousandths of all messages, and until when.
pub struct Faults {
    pub lost: u64,
    pub late: u64,
    pub notices_lost: u64,
    pub slow: u64,
    pub failing: u64,
    pub meddling: bool,
    pub kinds: Vec<(Fault, Who)>,
    pub every_ms: u64,
    pub stall_ms: u64,
    pub server_stall_ms: u64,
    pub until_ms: u64,
    pub slip: Option<Slip>,
}

impl Faults {
    /// Everything, in a mixture that differs from seed to seed.
    pub fn wild(seed: u64) -> Self {
        let mut random = Random(seed ^ 0x5eed);
        let mut kinds = Vec::new();
        for kind in [Fault::Crash, Fault::Stall, Fault::Cut, Fault::Stop] {
            kinds.extend((0..NODES).filter(|_| random.below(1000) < 700).map(|node| (kind, Who::Node(node))));
            kinds.extend((0..KEEPERS).filter(|_| random.below(1000) < 400).map(|at| (kind, Who::Keeper(at))));
        }
        if random.below(2) == 0 {
            kinds.push((Fault::ServerStall, Who::Node(0)));
        }
        Self {
            lost: random.below(100),
            late: random.below(60),
            notices_lost: random.below(600),
            slow: random.below(100),
            failing: random.below(500),
            meddling: random.below(3) == 0,
            kinds,
            every_ms: 500 + random.below(5_000),
            stall_ms: 14_000,
            server_stall_ms: 9_000,
            until_ms: 20_000 + random.below(30_000),
            slip: None,
        }
    }

    /// Only the server and the schedulers stand still, and nobody's request runs out of time.
    pub fn deaf(seed: u64) -> Self {
        let mut random = Random(seed ^ 0xdeaf);
        let mut kinds: Vec<_> = (0..KEEPERS).map(|at| (Fault::Stall, Who::Keeper(at))).collect();
        kinds.push((Fault::ServerStall, Who::Node(0)));
        Self {
            lost: 0,
            late: 0,
            notices_lost: 0,
            slow: 0,
            failing: 0,
            meddling: false,
            kinds,
            every_ms: 2_000 + random.below(8_000),
            stall_ms: 14_000,
            server_stall_ms: 4_900,
            until_ms: 40_000,
            slip: None,
        }
    }
}

/// splitmix64: a few lines, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn uuid(&mut self) -> Uuid {
        Uuid::from_u128(u128::from(self.next()) << 64 | u128::from(self.next()))
    }
}
