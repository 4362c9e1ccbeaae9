# What the suites of others need: a PostgreSQL of its own and a weir in front of it. Sourced, after
# `name` (for messages), `weir` (the binary) and `keep` (yes: the folder stays) are set. Everything
# is recorded, every command allowed, one shard, no TLS; all log in as `postgres`.
#
# Sets `root` (the project), `bin` (the server's programs), `folder` (scratch, readable to the
# server's user), `server_port` and, after `start_weir`, `weir_port`.
# shellcheck shell=bash

die() { printf 'tests/%s: %s\n' "$name" "$*" >&2; exit 1; }

as_server() {
  if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

give() { if [ "$(id -u)" = 0 ]; then chown -R postgres "$@"; fi; }

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'; }

finish() {
  if [ -n "$weir_pid" ]; then kill "$weir_pid" 2>/dev/null || true; fi
  as_server "$bin/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1 || true
  wait || true
  if [ "$keep" = yes ]; then echo "kept: $folder"; else rm -rf "$folder"; fi
}

# start_server SETTING...: settings as in postgresql.conf, e.g. fsync=off
start_server() {
  server_port=$(free_port)
  echo "$PGPASSWORD" >"$folder/password"
  give "$folder"
  as_server "$bin/initdb" -D "$folder/data" -U postgres --no-locale -E UTF8 -A scram-sha-256 \
    --pwfile="$folder/password" >/dev/null
  as_server "$bin/pg_ctl" -D "$folder/data" -l "$folder/server.log" -w start -o "-p $server_port \
    -k $folder -c listen_addresses=127.0.0.1 -c fsync=off ${*/#/-c }" >/dev/null
}

# start_weir DATABASE...: each is a target; physical replication goes to `postgres`
start_weir() {
  weir_port=$(free_port)
  install -m 600 "$folder/password" "$folder/weir.password"
  {
    printf 'data_dir = "%s"\nshards = 1\n' "$folder/weir"
    printf '[listen.postgres]\naddress = "127.0.0.1:%s"\n' "$weir_port"
    printf '[admin]\naddress = "127.0.0.1:%s"\n' "$(free_port)"
    for database in "$@"; do
      printf '[[target]]\nname = "%s"\nprotocol = "postgres"\naddress = "127.0.0.1:%s"\n' \
        "$database" "$server_port"
      if [ "$database" = postgres ]; then printf 'replication = true\n'; fi
      printf 'tls = "disable"\n[[target.credential]]\nrole = "postgres"\n'
      printf 'password = { file = "%s" }\n' "$folder/weir.password"
    done
    printf '[[identity.user]]\nname = "postgres"\npassword = { file = "%s" }\n' \
      "$folder/weir.password"
    printf '[[rule]]\nname = "everything"\nwhen = {}\nthen = "allow"\n'
    printf '[[rule]]\nname = "replication"\nwhen = { commands = ["replication"] }\n'
    printf 'then = "allow"\n'
  } >"$folder/weir.toml"
  : >"$folder/weir.log"
  "$weir" run --config "$folder/weir.toml" >"$folder/weir.log" 2>&1 &
  weir_pid=$!
  for _ in $(seq 100); do
    if grep -q 'clients on' "$folder/weir.log"; then return; fi
    kill -0 "$weir_pid" 2>/dev/null || die "weir does not start: $(cat "$folder/weir.log")"
    sleep 0.1
  done
  die "weir does not say that it listens: $(cat "$folder/weir.log")"
}

# How many commands weir has recorded.
recorded() { "$weir" search --config "$folder/weir.toml" --limit 1000000 --json | wc -l; }

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -x "$bin/initdb" ] || die 'no PostgreSQL server: apt-get install postgresql'
if [ ! -x "$weir" ]; then (cd "$root" && cargo build --release --bin weir); fi
weir_pid=''
export PGPASSWORD=suite PGSSLMODE=disable
folder=$(mktemp -d)
chmod 755 "$folder"
trap finish EXIT
