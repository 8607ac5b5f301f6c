//! Which environment variables are configuration, and what they say. Pure.

use framemill_schemas::field_error::FieldError;

/// Start of every variable that belongs to Framemill.
pub const PREFIX: &str = "FRAMEMILL_";
/// The sections of the configuration.
pub const SECTIONS: [&str; 10] =
    ["nats", "s3", "ffmpeg", "sources", "scheduler", "worker", "packager", "edge", "log", "otel"];
/// Keys that are lists; their variables hold the items with commas between.
const LISTS: [&str; 10] = [
    "sources.folders",
    "sources.allow_hosts",
    "scheduler.folders",
    "edge.origins",
    "edge.cors_origins",
    "edge.trusted_proxies",
    "edge.renewal",
    "scheduler.purge.varnish.urls",
    "scheduler.purge.nginx.urls",
    "scheduler.purge.webhook.urls",
];

/// What a variable sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The variable.
    pub variable: String,
    /// The key, `s3.endpoint`.
    pub key: String,
    /// Its value.
    pub value: Text,
}

/// A value out of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// One.
    One(String),
    /// A list.
    Many(Vec<String>),
}

/// Reads the environment. A variable set to nothing counts as unset. Variables that only share
/// the prefix (tests, the API's address) are passed over, but one that looks like a key that was
/// misspelt is a fault: a setting that is silently ignored is the worst of all.
pub fn read(variables: impl Iterator<Item = (String, String)>) -> Result<Vec<Setting>, Vec<FieldError>> {
    let mut settings = Vec::new();
    let mut faults = Vec::new();
    for (variable, value) in variables {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        if value.is_empty() || name.starts_with("TEST_") {
            continue;
        }
        let name = name.to_lowercase();
        let key = name.replace("__", ".");
        let section = key.split('.').next().unwrap_or_default();
        if key == "data" || (key.contains('.') && SECTIONS.contains(&section)) {
            let value = if LISTS.contains(&key.as_str()) {
                Text::Many(
                    value.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect(),
                )
            } else {
                Text::One(value)
            };
            settings.push(Setting { variable, key, value });
        } else if key.contains('.') {
            faults.push(FieldError::new(
                variable,
                "no such section",
                format!("unset it, or use one of {}", SECTIONS.join(", ")),
            ));
        } else if let Some(section) = SECTIONS.iter().find(|section| starts_with_section(&name, section)) {
            let rest = name[section.len()..].trim_start_matches('_').to_uppercase();
            faults.push(FieldError::new(
                variable,
                "one underscore between section and key",
                format!("write {PREFIX}{}__{rest}", section.to_uppercase()),
            ));
        }
    }
    settings.sort_by(|a, b| a.key.cmp(&b.key));
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

fn starts_with_section(name: &str, section: &str) -> bool {
    name.strip_prefix(section).is_some_and(|rest| rest.starts_with('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pairs: &[(&str, &str)]) -> Result<Vec<Setting>, Vec<FieldError>> {
        read(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn variables_become_keys() {
        let settings = run(&[
            ("PATH", "/bin"),
            ("FRAMEMILL_S3__SECRET_KEY", "0123"),
            ("FRAMEMILL_SOURCES__FOLDERS", "/a, /b,"),
            ("FRAMEMILL_DATA", "/d"),
            ("FRAMEMILL_OTEL__ENDPOINT", ""),
            ("FRAMEMILL_TEST_S3__ENDPOINT", "x"),
            ("FRAMEMILL_API", "x"),
            ("FRAMEMILL_API_KEY", "x"),
            ("FRAMEMILL_CHROME", "x"),
        ])
        .expect("good");
        let keys: Vec<_> = settings.iter().map(|setting| (setting.key.as_str(), setting.value.clone())).collect();
        assert_eq!(
            keys,
            [
                ("data", Text::One("/d".to_owned())),
                ("s3.secret_key", Text::One("0123".to_owned())),
                ("sources.folders", Text::Many(vec!["/a".to_owned(), "/b".to_owned()])),
            ]
        );
    }

    #[test]
    fn a_misspelt_variable_is_a_fault() {
        let faults = run(&[("FRAMEMILL_S3_ENDPOINT", "x")]).expect_err("one underscore");
        assert!(faults[0].mend.contains("FRAMEMILL_S3__ENDPOINT"), "{faults:?}");
        let faults = run(&[("FRAMEMILL_SE__ENDPOINT", "x")]).expect_err("no such section");
        assert_eq!(faults[0].pointer, "FRAMEMILL_SE__ENDPOINT");
    }
}
