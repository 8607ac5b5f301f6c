//! What NVIDIA publishes of its models and the driver does not tell. Pure.
//!
//! Nothing here was measured by us: engines by model and rates by generation are vendor-published
//! (support matrix and application note of the Video Codec SDK 13.0).

use framemill_schemas::ladder::VideoCodec;

/// A generation of encoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Of T4.
    Turing,
    /// Of A10 and A16.
    Ampere,
    /// Of L4 and L40.
    Ada,
    /// Of RTX PRO and the GeForce cards of 2025.
    Blackwell,
}

impl Generation {
    /// Whether its encoders know a codec.
    pub fn encodes(self, codec: VideoCodec) -> bool {
        pictures_per_s(self, codec, Preset::P1).is_some()
    }
}

/// How much time an encoder takes for a picture; higher is slower and better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// The quickest.
    P1,
    /// Quick.
    P3,
    /// What channels mostly use.
    P5,
    /// The best.
    P7,
}

impl Preset {
    /// All that rates are published for.
    pub const ALL: [Self; 4] = [Self::P1, Self::P3, Self::P5, Self::P7];
}

/// A model of GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// The word that names it: `L4`.
    pub name: &'static str,
    /// Encoders on the chip; 0 for one that only computes and decodes.
    pub engines: u32,
    /// Its encoders; absent where no rate is published.
    pub generation: Option<Generation>,
    /// Memory, GiB.
    pub memory_gib: u32,
}

impl Model {
    /// Whether it is a card for players, whose sessions the driver limits: they are named by numbers.
    pub fn is_consumer(&self) -> bool {
        self.name.starts_with(|first: char| first.is_ascii_digit())
    }
}

const fn model(name: &'static str, engines: u32, generation: Option<Generation>, memory_gib: u32) -> Model {
    Model { name, engines, generation, memory_gib }
}

const MODELS: &[Model] = &[
    model("T4", 1, Some(Generation::Turing), 16),
    model("A2", 1, Some(Generation::Ampere), 16),
    model("A10", 1, Some(Generation::Ampere), 24),
    // One of the four of a card, as the driver lists them.
    model("A16", 1, Some(Generation::Ampere), 16),
    model("L4", 2, Some(Generation::Ada), 24),
    model("L40", 3, Some(Generation::Ada), 48),
    model("L40S", 3, Some(Generation::Ada), 48),
    model("V100", 3, None, 32),
    model("4090", 2, Some(Generation::Ada), 24),
    // These only compute and decode.
    model("A30", 0, None, 24),
    model("A100", 0, None, 80),
    model("H100", 0, None, 80),
    model("H200", 0, None, 141),
];

/// The model a person names: `l4`.
pub fn named(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name.eq_ignore_ascii_case(name))
}

/// The model by the driver's name of it (`NVIDIA L4`, `Tesla T4`, `NVIDIA A100-SXM4-80GB`); nothing for
/// one that is not listed.
pub fn of_driver(name: &str) -> Option<&'static Model> {
    name.split([' ', '-']).find_map(|word| MODELS.iter().find(|model| model.name == word))
}

/// The encoders of a chip of this generation, as the driver names it.
pub fn of_architecture(name: &str) -> Option<Generation> {
    match name {
        "Turing" => Some(Generation::Turing),
        "Ampere" => Some(Generation::Ampere),
        "Ada" => Some(Generation::Ada),
        "Blackwell" => Some(Generation::Blackwell),
        _ => None,
    }
}

/// Every name a person may use.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|model| model.name)
}

/// Pictures of 1920x1080 in 8 bits that one encoder encodes in a second at variable bitrate and high
/// quality; nothing where the generation does not encode the codec.
pub fn pictures_per_s(generation: Generation, codec: VideoCodec, preset: Preset) -> Option<u32> {
    let of = |rates: [u32; 4]| {
        let index = Preset::ALL.iter().position(|known| *known == preset)?;
        rates.get(index).copied()
    };
    match (codec, generation) {
        (VideoCodec::H264, Generation::Turing) => of([833, 602, 264, 207]),
        (VideoCodec::H264, Generation::Ampere) => of([846, 617, 266, 213]),
        (VideoCodec::H264, Generation::Ada) => of([885, 647, 283, 211]),
        (VideoCodec::H264, Generation::Blackwell) => of([948, 708, 317, 227]),
        // Of Ampere nothing is published; its encoder is that of Turing.
        (VideoCodec::Hevc, Generation::Turing | Generation::Ampere) => of([920, 552, 334, 171]),
        (VideoCodec::Hevc, Generation::Ada) => of([1037, 706, 411, 181]),
        (VideoCodec::Hevc, Generation::Blackwell) => of([1119, 947, 521, 181]),
        (VideoCodec::Av1, Generation::Turing | Generation::Ampere) => None,
        (VideoCodec::Av1, Generation::Ada) => of([741, 549, 440, 323]),
        (VideoCodec::Av1, Generation::Blackwell) => of([957, 678, 552, 401]),
    }
}

/// Pixels that so many encoders of such a rate encode in a second.
pub fn pixels_per_s(engines: u32, pictures_per_s: u32) -> u64 {
    /// Of a picture that rates are published for.
    const PIXELS: u64 = 1920 * 1080;
    u64::from(engines) * u64::from(pictures_per_s) * PIXELS
}

/// The pictures in a second for any effort from 1 to 7; what is not published lies half-way between its neighbours.
pub fn rate_at(generation: Generation, codec: VideoCodec, effort: u8) -> Option<u32> {
    let of = |preset| pictures_per_s(generation, codec, preset);
    let between = |quick, slow| Some(u32::midpoint(of(quick)?, of(slow)?));
    match effort {
        ..=1 => of(Preset::P1),
        2 => between(Preset::P1, Preset::P3),
        3 => of(Preset::P3),
        4 => between(Preset::P3, Preset::P5),
        5 => of(Preset::P5),
        6 => between(Preset::P5, Preset::P7),
        7.. => of(Preset::P7),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_told_apart_by_whole_words() {
        for (name, model) in [
            ("NVIDIA H200", Some("H200")),
            ("NVIDIA H100 80GB HBM3", Some("H100")),
            ("NVIDIA A100-SXM4-80GB", Some("A100")),
            ("Tesla T4", Some("T4")),
            ("Tesla V100-PCIE-16GB", Some("V100")),
            ("NVIDIA L4", Some("L4")),
            ("NVIDIA L40S", Some("L40S")),
            ("NVIDIA A10", Some("A10")),
            // Not an A100, and not known.
            ("NVIDIA A1000", None),
            ("NVIDIA GeForce RTX 4090", Some("4090")),
            ("NVIDIA GeForce RTX 3050", None),
        ] {
            assert_eq!(of_driver(name).map(|model| model.name), model, "{name}");
        }
        assert_eq!(named("l40s").map(|model| model.engines), Some(3));
        assert_eq!(named("NVIDIA L4"), None);
    }

    #[test]
    fn a_better_preset_is_slower() {
        for codec in VideoCodec::ALL {
            for generation in [Generation::Turing, Generation::Ampere, Generation::Ada, Generation::Blackwell] {
                let rates: Vec<_> =
                    Preset::ALL.iter().filter_map(|preset| pictures_per_s(generation, codec, *preset)).collect();
                assert!(rates.windows(2).all(|pair| pair[0] > pair[1]), "{codec:?} {generation:?}");
                let all: Vec<_> = (1..=7).filter_map(|effort| rate_at(generation, codec, effort)).collect();
                assert!(all.windows(2).all(|pair| pair[0] > pair[1]), "{codec:?} {generation:?}");
            }
        }
    }
}
