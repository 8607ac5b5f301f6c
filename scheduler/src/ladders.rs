//! The ladders a farm knows by name: those shipped inside the program, and those of a configured
//! folder, which replace shipped ones of the same name.
//!
//! They are read once, at start: a submission stores the ladder it was accepted with.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use framemill_schemas::{
    field_error::FieldError,
    ladder::{LADDER_BYTES_MAX, Ladder},
};

/// Most files read from a folder.
const FILES_MAX: usize = 1000;

/// Shipped documents, by file name.
const SHIPPED: [(&str, &str); 4] = [
    ("web-h264.yaml", include_str!("../../ladders/web-h264.yaml")),
    ("web-hevc.yaml", include_str!("../../ladders/web-hevc.yaml")),
    ("web-av1.yaml", include_str!("../../ladders/web-av1.yaml")),
    ("fast-h264.yaml", include_str!("../../ladders/fast-h264.yaml")),
];

/// Ladders by name.
#[derive(Clone, Debug)]
pub struct Ladders(BTreeMap<String, Ladder>);

/// Why a folder of ladders was refused.
#[derive(Debug, thiserror::Error)]
pub enum LadderError {
    /// The folder or a file cannot be read.
    #[error("the ladder file or folder {path} cannot be read; correct `scheduler.ladders` or its permissions")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Too many files.
    #[error("the ladder folder {path} holds more than {FILES_MAX} files; remove what is not needed")]
    TooMany {
        /// Which.
        path: PathBuf,
    },
    /// A file with faults, all of them.
    #[error("the ladder {path} has faults: {}", list(.errors))]
    Faults {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        errors: Vec<FieldError>,
    },
    /// A file whose name is not its ladder's.
    #[error("the file {path} holds a ladder named {name:?}; give both the same name")]
    Name {
        /// Which.
        path: PathBuf,
        /// The name inside.
        name: String,
    },
}

fn list(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}

impl Ladders {
    /// The shipped ladders and those of `folder` (its `*.yaml` and `*.yml` files).
    pub fn load(folder: Option<&Path>) -> Result<Self, LadderError> {
        let mut ladders = BTreeMap::new();
        for (file, text) in SHIPPED {
            let ladder = parse(Path::new(file), text)?;
            ladders.insert(ladder.name.clone(), ladder);
        }
        for path in folder.map(files_of).transpose()?.unwrap_or_default() {
            let ladder = parse(&path, &read(&path)?)?;
            ladders.insert(ladder.name.clone(), ladder);
        }
        Ok(Self(ladders))
    }

    /// The ladder of that name.
    pub fn get(&self, name: &str) -> Option<Ladder> {
        self.0.get(name).cloned()
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = &Ladder> {
        self.0.values()
    }
}

fn parse(path: &Path, text: &str) -> Result<Ladder, LadderError> {
    let ladder = Ladder::from_yaml(text).map_err(|errors| LadderError::Faults { path: path.to_owned(), errors })?;
    if path.file_stem().and_then(|stem| stem.to_str()) == Some(&ladder.name) {
        Ok(ladder)
    } else {
        Err(LadderError::Name { path: path.to_owned(), name: ladder.name })
    }
}

fn read(path: &Path) -> Result<String, LadderError> {
    use std::io::Read;
    let fault = |source| LadderError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    // One byte more than is taken, so that the check of the ladder sees that there is more.
    let file = std::fs::File::open(path).map_err(fault)?;
    file.take(LADDER_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(fault)?;
    Ok(text)
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, LadderError> {
    let fault = |source| LadderError::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            if files.len() == FILES_MAX {
                return Err(LadderError::TooMany { path: folder.to_owned() });
            }
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use framemill_schemas::submission::DEFAULT_LADDER;

    #[test]
    fn the_shipped_ladders_are_good_and_hold_the_default() {
        let ladders = Ladders::load(None).unwrap();
        assert_eq!(ladders.all().count(), SHIPPED.len());
        assert!(ladders.get(DEFAULT_LADDER).is_some());
    }

    #[test]
    fn a_folder_adds_and_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let mine = SHIPPED[0].1.replace("gop_s: 2", "gop_s: 1");
        std::fs::write(folder.path().join("web-h264.yaml"), &mine).unwrap();
        std::fs::write(folder.path().join("mine.yml"), mine.replace("web-h264", "mine")).unwrap();
        std::fs::write(folder.path().join("README"), "no ladder").unwrap();
        let ladders = Ladders::load(Some(folder.path())).unwrap();
        assert_eq!(ladders.all().count(), SHIPPED.len() + 1);
        assert_eq!(ladders.get("web-h264").unwrap().gop_s, 1000);
    }

    #[test]
    fn faults_name_the_file() {
        let good = SHIPPED[0].1;
        for (name, text, says) in [
            ("a.yaml", good.to_owned(), "both the same name"),
            ("web-h264.yaml", good.replace("gop_s", "gpo_s"), "/gpo_s"),
            ("web-h264.yaml", "\u{0}".repeat(LADDER_BYTES_MAX + 1), "keep it under"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(name), text).unwrap();
            let error = Ladders::load(Some(folder.path())).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(says), "{error}");
        }
        let error = Ladders::load(Some(Path::new("/no/such/folder"))).unwrap_err().to_string();
        assert!(error.contains("/no/such/folder"), "{error}");
    }
}
