//! The program that stands before ffmpeg: it marks what it starts, slows encoders down so that
//! faults meet them at work without costing the machine anything, and plays the tricks it is
//! told by a file.

use std::{
    collections::BTreeMap,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// How long a child that is left behind would live: longer than a run waits for anything.
const LEFT_S: u32 = 3600;

/// The variable that marks every process of a run.
pub const MARK: &str = "FRAMEMILL_TEST_RUN";

/// The wrapper of one worker.
#[derive(Debug)]
pub struct Wrapper {
    /// What to configure as ffmpeg.
    pub program: PathBuf,
    next: PathBuf,
    taken: PathBuf,
    pace: Option<u32>,
}

impl Wrapper {
    /// Writes the wrapper of `ffmpeg` into `folder`; encoders read at `pace` times their source's speed.
    pub fn write(folder: &Path, name: &str, ffmpeg: &Path, mark: &str, pace: Option<u32>) -> io::Result<Self> {
        let program = folder.join(format!("ffmpeg-{name}"));
        let wrapper = Self {
            next: folder.join(format!("next-{name}")),
            taken: folder.join(format!("taken-{name}")),
            program: program.clone(),
            pace,
        };
        std::fs::write(&program, wrapper.script(ffmpeg, mark))?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
        Ok(wrapper)
    }

    /// The next encoder plays `trick`.
    pub fn arm(&self, trick: &str) -> io::Result<()> {
        // Renamed into place, so that no encoder reads half of it.
        let draft = self.next.with_extension("draft");
        std::fs::write(&draft, format!("{trick}\n"))?;
        std::fs::rename(draft, &self.next)
    }

    /// No encoder plays anything any more.
    pub fn disarm(&self) {
        // Nothing was armed, or it was just taken.
        let _ = std::fs::remove_file(&self.next);
    }

    /// How often each trick was played.
    pub fn taken(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for line in std::fs::read_to_string(&self.taken).unwrap_or_default().lines() {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
        counts
    }

    fn script(&self, ffmpeg: &Path, mark: &str) -> String {
        let (ffmpeg, next, taken) = (quoted(ffmpeg), quoted(&self.next), quoted(&self.taken));
        let pace = self.pace.map_or_else(|| ":".to_owned(), |pace| format!(r#"set -- "$@" -readrate {pace}"#));
        format!(
            r#"#!/bin/sh
{MARK}={mark}
export {MARK}
case " $* " in
# A machine that tries itself is no encode of the farm's.
*' -f lavfi '*) exec {ffmpeg} "$@" ;;
*' -c:v libx264 '* | *' -c:a aac '*) ;;
*) exec {ffmpeg} "$@" ;;
esac
trick=
if [ -e {next} ] && mv {next} {next}.$$ 2>/dev/null; then
    read -r trick < {next}.$$
    rm -f {next}.$$
    echo "$trick" >> {taken}
fi
case "$trick" in
crash) kill -SEGV $$ ;;
hang) exec sleep {LEFT_S} ;;
flood)
    line=0
    while [ $line -lt 20000 ]; do
        echo '[noise] a decoder that complains of every single picture writes about as much as this' >&2
        line=$((line + 1))
    done
    ;;
grandchild) sleep {LEFT_S} & ;;
escape) setsid sleep {LEFT_S} & ;;
esac
count=$#
while [ $count -gt 0 ]; do
    word=$1
    shift
    count=$((count - 1))
    case "$word" in
    -i) {pace} ;;
    pipe:1[0-9][0-9]) if [ "$trick" = short ]; then set -- "$@" -t 1; fi ;;
    esac
    set -- "$@" "$word"
done
exec {ffmpeg} "$@"
"#
        )
    }
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A wrapper before a program that shows its arguments and its mark.
    fn wrapper(folder: &Path) -> Wrapper {
        let shows = folder.join("shows");
        std::fs::write(&shows, format!("#!/bin/sh\necho \"$*\"\necho \"${MARK}\"\n")).unwrap();
        std::fs::set_permissions(&shows, std::fs::Permissions::from_mode(0o755)).unwrap();
        Wrapper::write(folder, "worker-1", &shows, "the-mark", Some(3)).unwrap()
    }

    fn run(wrapper: &Wrapper, args: &[&str]) -> std::process::Output {
        Command::new(&wrapper.program).args(args).env_clear().output().unwrap()
    }

    fn said(output: &std::process::Output) -> String {
        String::from_utf8(output.stdout.clone()).unwrap()
    }

    const ENCODE: [&str; 6] = ["-i", "a b", "-c:v", "libx264", "-x", "pipe:100"];

    #[test]
    fn what_is_no_encoder_passes_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let wrapper = wrapper(folder.path());
        wrapper.arm("crash").unwrap();
        assert_eq!(said(&run(&wrapper, &["-i", "x", "-encoders"])), "-i x -encoders\nthe-mark\n");
        assert!(wrapper.taken().is_empty());
    }

    #[test]
    fn a_trick_is_played_once() {
        let folder = tempfile::tempdir().unwrap();
        let wrapper = wrapper(folder.path());
        wrapper.arm("short").unwrap();
        assert_eq!(said(&run(&wrapper, &ENCODE)), "-readrate 3 -i a b -c:v libx264 -x -t 1 pipe:100\nthe-mark\n");
        assert_eq!(said(&run(&wrapper, &ENCODE)), "-readrate 3 -i a b -c:v libx264 -x pipe:100\nthe-mark\n");
        wrapper.arm("crash").unwrap();
        assert!(run(&wrapper, &ENCODE).status.code().is_none(), "ended by a signal");
        wrapper.arm("flood").unwrap();
        assert!(run(&wrapper, &ENCODE).stderr.len() > 1_000_000);
        wrapper.arm("crash").unwrap();
        wrapper.disarm();
        assert!(run(&wrapper, &ENCODE).status.success());
        let taken = wrapper.taken();
        assert_eq!(
            taken.into_iter().collect::<Vec<_>>(),
            [("crash".to_owned(), 1), ("flood".to_owned(), 1), ("short".to_owned(), 1)]
        );
    }
}
