//! A script in front of the real ffmpeg that a test can tell what to do: to wait, or to break off.

use std::{os::unix::fs::PermissionsExt, path::PathBuf};

use super::{Place, real_ffmpeg};

/// The script, and the files by which it is told.
pub struct Wrapper {
    pub script: PathBuf,
    folder: PathBuf,
}

impl Wrapper {
    /// Writes the script. It does what ffmpeg does, and besides:
    ///
    /// - while `hold-encode` or `hold-decode` is there, encodes or decodes wait before they begin;
    /// - while `break-after` is there, encodes of pictures end when they have made as many frames as
    ///   it says, with exit code 1 and the words in `break-words`;
    /// - each encode of pictures leaves a line in `encodes`: the first and the last grid frame.
    pub fn new(place: &Place) -> Self {
        let folder = place.path().canonicalize().unwrap().join("wrapper");
        std::fs::create_dir(&folder).unwrap();
        let script = folder.join("ffmpeg");
        let real = real_ffmpeg();
        let text = format!(
            r##"#!/bin/sh
here='{here}'
real='{real}'
all="$*"
case "$all" in
*trim=start_pts=*pipe:100*)
    graph=${{all#*trim=start_pts=}}
    start=${{graph%%:*}}
    rest=${{graph#*end_pts=}}
    end=${{rest%%,*}}
    echo "$start $end" >> "$here/encodes"
    while [ -e "$here/hold-encode" ]; do /bin/sleep 0.05; done
    if [ -e "$here/break-after" ]; then
        frames=$(/bin/cat "$here/break-after")
        stop=$((start + frames))
        if [ "$stop" -lt "$end" ]; then
            # The same graph, cut short. `for` walks the old arguments while `set` makes new ones.
            first=1
            for argument in "$@"; do
                [ -n "$first" ] && {{ set --; first=; }}
                case "$argument" in
                *"trim=start_pts=$start:end_pts=$end"*)
                    before=${{argument%%:end_pts=$end*}}
                    after=${{argument#*:end_pts=$end}}
                    argument="$before:end_pts=$stop$after"
                    ;;
                esac
                set -- "$@" "$argument"
            done
            "$real" "$@"
            /bin/cat "$here/break-words" >&2
            exit 1
        fi
    fi
    ;;
*"-f null"*|*framecrc*)
    while [ -e "$here/hold-decode" ]; do /bin/sleep 0.05; done
    ;;
esac
exec "$real" "$@"
"##,
            here = folder.display(),
            real = real.display(),
        );
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { script, folder }
    }

    pub fn tell(&self, what: &str, words: &str) {
        std::fs::write(self.folder.join(what), words).unwrap();
    }

    pub fn forget(&self, what: &str) {
        std::fs::remove_file(self.folder.join(what)).unwrap();
    }

    /// First and last grid frame of every encode of pictures so far.
    pub fn encodes(&self) -> Vec<(u64, u64)> {
        let text = std::fs::read_to_string(self.folder.join("encodes")).unwrap_or_default();
        let number = |text: &str| text.parse::<u64>().unwrap();
        text.lines().filter_map(|line| line.split_once(' ')).map(|(start, end)| (number(start), number(end))).collect()
    }
}
