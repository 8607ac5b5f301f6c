//! What NVIDIA publishes of its models and the driver does not tell. Pure.

/// A model, and the encoders on its chip. Vendor-published, not measured here: the support matrix of
/// the NVIDIA Video Codec SDK.
const ENGINES: &[(&str, u32)] = &[
    // These only compute and decode.
    ("A100", 0),
    ("A30", 0),
    ("H100", 0),
    ("H200", 0),
    // These encode.
    ("V100", 3),
    ("T4", 1),
    ("A2", 1),
    ("A10", 1),
    ("A16", 1),
    ("L4", 2),
    ("L40", 3),
    ("L40S", 3),
];

/// Encoders on the chip of a model by the driver's name of it (`NVIDIA L4`, `Tesla T4`,
/// `NVIDIA A100-SXM4-80GB`); nothing for a model that is not listed.
pub(super) fn nvenc_engines(name: &str) -> Option<u32> {
    let mut words = name.split([' ', '-']);
    words.find_map(|word| ENGINES.iter().find(|(model, _)| *model == word).map(|(_, engines)| *engines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_told_apart_by_whole_words() {
        for (name, engines) in [
            ("NVIDIA H200", Some(0)),
            ("NVIDIA H100 80GB HBM3", Some(0)),
            ("NVIDIA A100-SXM4-80GB", Some(0)),
            ("Tesla T4", Some(1)),
            ("Tesla V100-PCIE-16GB", Some(3)),
            ("NVIDIA L4", Some(2)),
            ("NVIDIA L40S", Some(3)),
            ("NVIDIA A10", Some(1)),
            // Not an A100, and not known.
            ("NVIDIA A1000", None),
            ("NVIDIA GeForce RTX 4090", None),
        ] {
            assert_eq!(nvenc_engines(name), engines, "{name}");
        }
    }
}
