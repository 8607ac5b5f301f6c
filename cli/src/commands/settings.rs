//! `framemill config`: the effective configuration, and a check of a file.

use crate::{
    args::{Global, operate::Config},
    config::{load, show},
    exit::CliError,
    output,
};

/// Runs the command.
pub fn run(global: &Global, args: Config) -> Result<(), CliError> {
    match args {
        Config::Show => {
            let document = show::masked(&load::effective(global.config.as_deref())?);
            if global.json {
                output::json(&document);
            } else {
                output::line(show::toml(&document));
            }
        }
        Config::Check { file } => {
            let found = match file {
                Some(file) => Some(file),
                None => load::find_file(global.config.as_deref())?,
            };
            let Some(file) = found else {
                return Err(CliError::usage("there is no configuration file to check")
                    .at(load::DEFAULT_FILE)
                    .mend("name one: framemill config check FILE"));
            };
            load::file_alone(&file)?;
            if global.json {
                output::json(&serde_json::json!({ "file": file, "good": true }));
            } else {
                output::line(format!("{} is good", file.display()));
            }
        }
    }
    Ok(())
}
