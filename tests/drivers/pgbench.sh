#!/bin/bash
# pgbench in every query mode; prints counts, never times.
set -uo pipefail

counts() { grep -E '^number of (transactions actually processed|failed transactions)' |
  tr '\n' '|'; }
say() { printf '%s: %s\n' "$1" "$2"; }

say initialise "$(pgbench -i -s 1 -q -I dtgvp 2>&1 | grep -ciE 'error|fatal')"
for mode in simple extended prepared; do
  say "select-$mode" "$(pgbench -n -S -M $mode -c 8 -j 2 -t 50 2>&1 | counts)"
  say "tpcb-$mode" "$(pgbench -n -N -M $mode -c 4 -j 2 -t 25 2>&1 | counts)"
done
say reconnect "$(pgbench -n -S -C -c 4 -t 5 2>&1 | counts)"
script=$(mktemp)
cat >"$script" <<'SQL'
\set id random(1, 100000)
\startpipeline
begin;
select abalance from pgbench_accounts where aid = :id;
update pgbench_accounts set abalance = abalance + 1 where aid = :id;
select abalance from pgbench_accounts where aid = :id;
commit;
\endpipeline
SQL
for mode in extended prepared; do
  say "pipeline-$mode" "$(pgbench -n -f "$script" -M $mode -c 4 -t 25 2>&1 | counts)"
done
rm -f "$script"
say rows "$(psql -XqAt -c 'select count(abalance), count(*) from pgbench_accounts')"
