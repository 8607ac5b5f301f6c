//! The effective configuration for people: as TOML, secrets masked. Pure.

use serde_json::Value;

use super::Settings;

/// What stands in place of a secret.
pub const MASK: &str = "********";
/// Keys whose values are secrets.
const SECRET_KEYS: [&str; 6] = ["access_key", "secret_key", "shield_secret", "api_key", "api_token", "secret"];

/// The configuration as a document without secrets.
pub fn masked(settings: &Settings) -> Value {
    let mut value = serde_json::to_value(settings).expect("settings have string keys and finite numbers");
    mask(&mut value, "");
    value
}

fn mask(value: &mut Value, key: &str) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(key, value)| mask(value, key)),
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, key)),
        Value::String(text) if SECRET_KEYS.contains(&key) => *text = MASK.to_owned(),
        Value::String(text) => *text = without_credentials(text),
        _ => {}
    }
}

/// Addresses (several with commas) without the user and password they may carry.
pub fn without_credentials(text: &str) -> String {
    text.split(',').map(address_without_credentials).collect::<Vec<_>>().join(",")
}

fn address_without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority_end].rfind('@') {
        Some(at) => format!("{scheme}://{MASK}{}", &rest[at..]),
        None => text.to_owned(),
    }
}

/// The document as TOML; keys without a value are shown as comments, so that every key is seen.
pub fn toml(document: &Value) -> String {
    let mut blocks = Vec::new();
    section(document, "", &mut blocks);
    blocks.join("\n\n")
}

/// One table and the tables inside it, each a block of its own.
fn section(table: &Value, name: &str, blocks: &mut Vec<String>) {
    let keys = || table.as_object().into_iter().flatten();
    let mut lines: Vec<_> = if name.is_empty() { Vec::new() } else { vec![format!("[{name}]")] };
    lines.extend(keys().filter(|(_, value)| !value.is_object()).map(|(key, value)| key_line(key, value)));
    blocks.push(lines.join("\n"));
    for (key, value) in keys().filter(|(_, value)| value.is_object()) {
        let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        section(value, &name, blocks);
    }
}

fn key_line(key: &str, value: &Value) -> String {
    match value {
        Value::Null => format!("# {key} is not set"),
        // JSON's strings, numbers, booleans and lists of them are TOML too.
        value => format!("{key} = {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let mut value = serde_json::json!({
            "s3": { "access_key": "AKIA", "secret_key": "s", "endpoint": "http://u:p@h:1/x@y" },
            "nats": { "url": "nats://a:b@h:4222,tls://t@i", "credentials": "/c" },
        });
        mask(&mut value, "");
        assert_eq!(
            value,
            serde_json::json!({
                "s3": { "access_key": MASK, "secret_key": MASK, "endpoint": format!("http://{MASK}@h:1/x@y") },
                "nats": { "url": format!("nats://{MASK}@h:4222,tls://{MASK}@i"), "credentials": "/c" },
            })
        );
    }

    #[test]
    fn it_reads_as_toml() {
        let document = serde_json::json!({
            "data": "a\"b",
            "s3": { "endpoint": null, "limits": { "attempts": 4 }, "path_style": true },
        });
        let text = toml(&document);
        let want = "data = \"a\\\"b\"\n\n[s3]\n# endpoint is not set\npath_style = true\n\n[s3.limits]\nattempts = 4";
        assert_eq!(text, want);
    }
}
