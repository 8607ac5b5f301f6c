//! A ladder as a user names it: one the farm knows, or a file. Files are checked here, so that
//! their faults are shown with the file, before anything is sent.

use std::path::Path;

use framemill_scheduler::ladders::Ladders;
use framemill_schemas::{
    ladder::{LADDER_BYTES_MAX, Ladder},
    submission::LadderChoice,
};

use crate::exit::CliError;

/// What `--ladder` means: a name, or a file where it looks like one.
pub fn choose(text: Option<&str>) -> Result<LadderChoice, CliError> {
    let Some(text) = text else { return Ok(LadderChoice::default()) };
    if !looks_like_file(text) {
        return Ok(LadderChoice::Named(text.to_owned()));
    }
    let ladder = read(Path::new(text))?;
    Ok(LadderChoice::Inline(serde_json::to_value(ladder).expect("a ladder is JSON")))
}

/// The same in full, for what is done without a farm to ask.
pub fn written_out(text: Option<&str>) -> Result<Ladder, CliError> {
    match choose(text)? {
        LadderChoice::Named(name) => {
            let shipped = Ladders::load(None).map_err(|error| CliError::failed(error.to_string()))?;
            shipped.get(&name).ok_or_else(|| {
                CliError::usage(format!("no ladder {name:?} is shipped")).at("--ladder").mend("name a file")
            })
        }
        LadderChoice::Inline(value) => Ladder::from_value(value)
            .map_err(|faults| CliError::usage("the ladder has faults").at("--ladder").faults(faults)),
    }
}

fn looks_like_file(text: &str) -> bool {
    text.contains('/') || [".yaml", ".yml", ".json"].iter().any(|ending| text.ends_with(ending))
}

/// Reads and checks a file.
pub fn read(file: &Path) -> Result<Ladder, CliError> {
    let place = file.display().to_string();
    let unreadable = |what: String| {
        CliError::usage(what)
            .at(&place)
            .mend("name a ladder file that can be read, or a ladder of `framemill ladder ls`")
    };
    let meta = std::fs::metadata(file).map_err(|error| unreadable(format!("cannot read the ladder: {error}")))?;
    if !meta.is_file() {
        return Err(unreadable("the ladder is not a file".to_owned()));
    }
    if meta.len() > LADDER_BYTES_MAX as u64 {
        return Err(unreadable(format!("the ladder has {} bytes, more than {LADDER_BYTES_MAX}", meta.len())));
    }
    let bytes = std::fs::read(file).map_err(|error| unreadable(format!("cannot read the ladder: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        CliError::usage(format!("byte {} of the ladder is not UTF-8", error.utf8_error().valid_up_to()))
            .at(&place)
            .mend("save it as UTF-8")
    })?;
    Ladder::from_yaml(&text).map_err(|faults| {
        let count = faults.len();
        let plural = if count == 1 { "a fault" } else { "faults" };
        CliError::usage(format!("the ladder has {plural}"))
            .at(&place)
            .faults(faults)
            .mend("correct the file; check it again with `framemill ladder check`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_files_are_told_apart() {
        for file in ["./a.yaml", "a.yml", "/x/web-h264", "b.json"] {
            assert!(looks_like_file(file), "{file}");
        }
        for name in ["web-h264", "a"] {
            assert!(!looks_like_file(name), "{name}");
        }
    }
}
