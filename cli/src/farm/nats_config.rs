//! The configuration file of the farm's own nats-server. Pure.

use std::path::Path;

use super::data::Secrets;

/// Largest message: a record of the largest size, with headers, and room to spare.
const PAYLOAD_BYTES_MAX: u32 = 8 * 1024 * 1024;

/// What the server is started with. `port` -1 lets the server choose a free one.
pub fn render(port: i32, store: &Path, ports: &Path, secrets: &Secrets) -> String {
    format!(
        "# Written at every start; changes are lost.
server_name: framemill
listen: \"127.0.0.1:{port}\"
ports_file_dir: {ports}
max_payload: {PAYLOAD_BYTES_MAX}
authorization {{
  user: {user}
  password: {password}
}}
jetstream {{
  store_dir: {store}
  # An acknowledged record survives a power cut.
  sync_interval: always
}}
",
        ports = quoted(&ports.display().to_string()),
        store = quoted(&store.display().to_string()),
        user = quoted(&secrets.nats_user),
        password = quoted(&secrets.nats_password),
    )
}

/// A string as nats-server's configuration language reads it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The port in a ports file (`{"nats":["nats://127.0.0.1:41325"],...}`).
pub fn port_in(text: &str) -> Option<u16> {
    let ports: serde_json::Value = serde_json::from_str(text).ok()?;
    let address = ports.get("nats")?.get(0)?.as_str()?;
    address.rsplit_once(':')?.1.trim_end_matches('/').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_back() {
        assert_eq!(port_in(r#"{"nats":["nats://127.0.0.1:41325"],"monitoring":[]}"#), Some(41325));
        for bad in ["", "{}", r#"{"nats":[]}"#, r#"{"nats":["x"]}"#, r#"{"nats":["nats://h:99999"]}"#] {
            assert_eq!(port_in(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_folder_cannot_break_out_of_its_string() {
        assert_eq!(quoted(r#"/a"b\c"#), r#""/a\"b\\c""#);
    }
}
