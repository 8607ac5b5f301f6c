#!/bin/sh
# Measures BullMQ on Redis on this machine, as a peer of `framemill loadtest bench queue`.
# Needs: redis-server (Debian: apt-get install redis-server), node 20 or newer, npm and the network
# once. Everything else goes into a temporary folder that is removed at the end.
# Redis keeps an append-only file that is synced every second: its usual setting. The farm's server
# syncs every record before it answers.
# Usage: loadtest/peers/bullmq.sh [JOBS] [PARALLEL]
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
for program in redis-server redis-cli node npm; do
  command -v "$program" >/dev/null || { echo "bullmq.sh: there is no $program; install it" >&2; exit 2; }
done
work=$(mktemp -d)
port=$(node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
redis-server --bind 127.0.0.1 --port "$port" --dir "$work" --save '' --appendonly yes --appendfsync everysec \
  --maxmemory-policy noeviction --logfile "$work/redis.log" &
redis=$!
trap 'kill $redis 2>/dev/null; wait $redis 2>/dev/null || true; rm -rf "$work"' EXIT INT TERM
tries=0
until redis-cli -p "$port" ping >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ $tries -lt 100 ] || { echo "bullmq.sh: redis-server does not answer" >&2; cat "$work/redis.log" >&2; exit 1; }
  sleep 0.1
done
cp "$here/bullmq.mjs" "$work/"
(cd "$work" && echo '{"private":true,"type":"module"}' >package.json &&
  npm install --no-audit --no-fund --silent bullmq@6.7.0 ioredis@5 >&2)
redis-cli -p "$port" info server | grep -E '^redis_version' >&2
node "$work/bullmq.mjs" "$port" "$@"
