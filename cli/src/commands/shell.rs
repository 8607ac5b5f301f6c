//! `framemill completions` and `framemill version`.

use clap::CommandFactory;

use crate::{
    args::{Cli, Global, operate::Completions},
    exit::CliError,
    output,
};

/// Writes completions for a shell.
pub fn completions(args: &Completions) -> Result<(), CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "framemill", &mut text);
    output::line(String::from_utf8_lossy(&text).trim_end());
    Ok(())
}

/// Writes the version.
pub fn version(global: &Global) -> Result<(), CliError> {
    let version = env!("CARGO_PKG_VERSION");
    if global.json {
        output::json(&serde_json::json!({ "name": "framemill", "version": version }));
    } else {
        output::line(format!("framemill {version}"));
    }
    Ok(())
}
