//! Puts the layers together: defaults, file, environment. Flags are set by the commands that
//! have them, on the result.

use std::path::{Path, PathBuf};

use config::{ConfigError, File, FileFormat, Map, Source, Value, ValueKind};
use framemill_schemas::field_error::{FieldError, read_strict};

use super::{
    Settings,
    environment::{self, Setting, Text},
};
use crate::exit::CliError;

/// The file that is read when none is named and it is there.
pub const DEFAULT_FILE: &str = "framemill.toml";
/// Largest configuration file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The effective configuration of this process.
pub fn effective(file: Option<&Path>) -> Result<Settings, CliError> {
    let settings = environment::read(variables()).map_err(|faults| {
        CliError::usage("the environment holds settings that do not exist").at("environment").faults(faults)
    })?;
    layers(find_file(file)?, settings)
}

/// A file alone, as `config check` reads it.
pub fn file_alone(file: &Path) -> Result<Settings, CliError> {
    layers(Some(file.to_owned()), Vec::new())
}

/// The file the other commands would read, where there is one.
pub fn find_file(named: Option<&Path>) -> Result<Option<PathBuf>, CliError> {
    match named {
        Some(file) => Ok(Some(file.to_owned())),
        None => {
            let file = PathBuf::from(DEFAULT_FILE);
            match file.try_exists() {
                Ok(there) => Ok(there.then_some(file)),
                Err(error) => Err(CliError::usage(format!("cannot look for the configuration: {error}"))
                    .at(DEFAULT_FILE)
                    .mend("make it readable, or name another with --config")),
            }
        }
    }
}

/// Variables that are not text cannot be settings of ours: every one of them is.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn layers(file: Option<PathBuf>, settings: Vec<Setting>) -> Result<Settings, CliError> {
    let mut builder = config::Config::builder();
    if let Some(file) = &file {
        let text = read(file)?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let place = file.as_ref().map_or_else(|| "environment".to_owned(), |file| file.display().to_string());
    let config = builder.add_source(Environment(settings.clone())).build().map_err(|error| not_toml(&error, &place))?;
    let result: Settings = read_strict(config).map_err(|faults| explain(faults, &settings, &place))?;
    result.check().map_err(|error| match error.place.clone() {
        Some(key) => error.at(where_is(&key, &settings, &place)),
        None => error,
    })?;
    Ok(result)
}

fn read(file: &Path) -> Result<String, CliError> {
    let fault = |what: String| CliError::usage(what).at(file.display().to_string());
    let size = std::fs::metadata(file)
        .map_err(|error| {
            fault(format!("cannot read the configuration: {error}")).mend("check the path given with --config")
        })?
        .len();
    if size > FILE_BYTES_MAX {
        return Err(fault(format!("the configuration has {size} bytes")).mend("name a configuration file"));
    }
    let bytes = std::fs::read(file).map_err(|error| {
        fault(format!("cannot read the configuration: {error}")).mend("name a file that this user can read")
    })?;
    String::from_utf8(bytes).map_err(|error| {
        fault(format!("byte {} of the configuration is not UTF-8", error.utf8_error().valid_up_to()))
            .mend("save it as UTF-8")
    })
}

fn not_toml(error: &ConfigError, place: &str) -> CliError {
    CliError::usage(format!("the configuration is not TOML: {}", error.to_string().trim()))
        .at(place)
        .mend("correct the line it names")
}

/// Names the file or the variable of each fault.
fn explain(faults: Vec<FieldError>, settings: &[Setting], file: &str) -> CliError {
    let faults = faults
        .into_iter()
        .map(|fault| {
            let key = fault.pointer.trim_start_matches('/').replace('/', ".");
            let mend = if fault.detail.contains("unknown") {
                "remove it, or correct its spelling (`framemill config show` lists every key)".to_owned()
            } else {
                "give a value that fits (`framemill config show` shows each key)".to_owned()
            };
            FieldError { pointer: where_is(&key, settings, file), detail: fault.detail, mend }
        })
        .collect();
    CliError::usage("the configuration has faults").at(file).faults(faults)
}

fn where_is(key: &str, settings: &[Setting], file: &str) -> String {
    match settings.iter().find(|setting| setting.key == key) {
        Some(setting) => setting.variable.clone(),
        None => format!("{file}: {key}"),
    }
}

/// The environment as a layer. Values stay text: the type of a key decides how it is read, so a
/// secret of digits keeps its zeros.
#[derive(Clone, Debug)]
struct Environment(Vec<Setting>);

impl Source for Environment {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self
            .0
            .iter()
            .map(|setting| {
                let origin = Some(&setting.variable);
                let value = match &setting.value {
                    Text::One(text) => Value::new(origin, ValueKind::String(text.clone())),
                    Text::Many(items) => {
                        let items: Vec<Value> =
                            items.iter().map(|item| Value::new(origin, ValueKind::String(item.clone()))).collect();
                        Value::new(origin, ValueKind::Array(items))
                    }
                };
                (setting.key.clone(), value)
            })
            .collect())
    }
}
