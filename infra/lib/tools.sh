# Shared by infra/setup, infra/demo and infra/test: where the tools are, and whether they are new
# enough. Sourced, never run. Installs nothing.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools="$root/.framemill/tools"
tools_bin="$tools/bin"
target="${CARGO_TARGET_DIR:-$root/target}"

RUST_MIN=1.95
FFMPEG_MIN=5.1
NODE_MIN=18

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# at_least VERSION MINIMUM: compares dotted numbers.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# The version an ffmpeg says, as 7.1; a build from git (N-12345-g...) is newer than any release.
ffmpeg_version() {
    local first
    first=$("$1" -version 2>/dev/null | head -n 1) || return 1
    case "$first" in
        "ffmpeg version N-"* | "ffmpeg version git-"*) echo 999 ;;
        *) sed -nE 's/^ffmpeg version n?([0-9]+(\.[0-9]+)+).*/\1/p' <<<"$first" ;;
    esac
}

ffmpeg_good() {
    local version
    [ -x "$1" ] && version=$(ffmpeg_version "$1") && [ -n "$version" ] && at_least "$version" "$FFMPEG_MIN"
}

# Says which ffmpeg is used: FRAMEMILL_FFMPEG__FFMPEG, PATH's, or the system's when PATH's is too old.
find_ffmpeg() {
    local candidate
    for candidate in "${FRAMEMILL_FFMPEG__FFMPEG:-}" "$(command -v ffmpeg || true)" /usr/bin/ffmpeg; do
        if [ -n "$candidate" ] && ffmpeg_good "$candidate" && [ -x "$(dirname "$candidate")/ffprobe" ]; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

# Cargo's usual place is not always on PATH in a fresh shell.
use_cargo() {
    have cargo || PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
    export PATH
}

# Names the tools to the program by its own configuration keys.
use_tools() {
    local ffmpeg
    use_cargo
    ffmpeg=$(find_ffmpeg) || fail "no ffmpeg $FFMPEG_MIN or newer: run infra/setup"
    export FRAMEMILL_NATS__SERVER="${FRAMEMILL_NATS__SERVER:-$tools_bin/nats-server}"
    export FRAMEMILL_FFMPEG__FFMPEG="$ffmpeg"
    export FRAMEMILL_FFMPEG__FFPROBE="${FRAMEMILL_FFMPEG__FFPROBE:-$(dirname "$ffmpeg")/ffprobe}"
}
