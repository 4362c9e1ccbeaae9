#!/bin/bash
# pg_dump, pg_restore, \copy and large objects of psql; checksums, never times.
set -uo pipefail

q() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@" 2>&1; }
say() { printf '%s: %s\n' "$1" "$(tr '\n' '|' <<<"$2")"; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

q -c 'drop schema if exists dumped cascade' >/dev/null
say create "$(q <<'SQL'
create schema dumped;
create table dumped.t (
  id int primary key, name text not null, n numeric, at timestamptz, data bytea, tags text[]
);
insert into dumped.t select i, 'name ' || i || E'\t\\x', i / 7.0,
  '2026-01-01'::timestamptz + i * interval '1 minute',
  decode(md5(i::text), 'hex'), array['a', null, i::text] from generate_series(1, 20000) i;
create index on dumped.t (name);
create view dumped.v as select id, upper(name) as name from dumped.t;
create function dumped.f(int) returns int language sql as 'select $1 + 1';
create sequence dumped.s start 7;
create type dumped.mood as enum ('sad', 'ok');
comment on table dumped.t is 'it''s a comment';
SQL
)"
sum() { q -c "select md5(string_agg(t::text, '|' order by id)) from dumped.t t" \
  -c 'select md5(string_agg(v::text, $$|$$ order by id)) from dumped.v v' -c 'select dumped.f(1)'; }
before=$(sum)
say before "$before"

server=$(q -c 'show server_version_num')
client=$(pg_dump --version | grep -oE '[0-9]+' | head -n 1)
if [ $((server / 10000)) -gt "$client" ]; then
  say dump "the server is newer than this pg_dump"
else
  # pg_dump names things by OID order and its own version; what it writes is compared as restored.
  pg_dump -n dumped -Fc -f "$folder/whole" 2>&1
  say contents "$(pg_restore -l "$folder/whole" | grep -c dumped)"
  for way in custom plain directory inserts; do
    q -c 'drop schema dumped cascade' >/dev/null 2>&1
    case $way in
      custom) said=$(pg_restore -d "$PGDATABASE" "$folder/whole" 2>&1) ;;
      plain) said=$(pg_restore -f - "$folder/whole" | q) ;;
      directory) said=$(pg_restore -d "$PGDATABASE" -j 2 "$folder/folder" 2>&1) ;;
      inserts) said=$(q <"$folder/inserts") ;;
    esac
    say "restored-$way" "$said $([ "$(sum)" = "$before" ] && echo same || echo other)"
    case $way in
      plain) pg_dump -n dumped -Fd -j 2 -f "$folder/folder" 2>&1 ;;
      directory) pg_dump -n dumped --rows-per-insert=100 -f "$folder/inserts" 2>&1 ;;
    esac
  done
fi

say copy-out "$(q -c "\\copy dumped.t to '$folder/text'" && md5sum <"$folder/text")"
say copy-binary "$(q -c "\\copy dumped.t to '$folder/binary' with (format binary)" &&
  md5sum <"$folder/binary")"
say copy-back "$(q -c 'create temp table u (like dumped.t)' \
  -c "\\copy u from '$folder/binary' with (format binary)" -c "\\copy u from '$folder/text'" \
  -c "select count(*), md5(string_agg(u::text, '|' order by id)) from u")"

head -c 2000000 /dev/zero | tr '\0' 'l' >"$folder/object"
say large-object "$(q <<SQL
\\lo_import '$folder/object'
\\set oid :LASTOID
\\lo_export :oid '$folder/exported'
\\lo_unlink :oid
SQL
md5sum <"$folder/exported")"
say clean-up "$(q -c 'drop schema dumped cascade' 2>&1 | grep -c ERROR)"
