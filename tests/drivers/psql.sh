#!/bin/bash
# psql against whatever PGHOST, PGPORT, ... name. One line per check; the same lines from the server
# itself and from weir in front of it.
set -uo pipefail

q() { psql -X -q -A -t -v VERBOSITY=verbose -v SHOW_CONTEXT=always "$@" 2>&1 |
  sed -E 's/ with PID [0-9]+//; s/\(PID [0-9]+\)//; /^LOCATION:/d'; }
say() { printf '%s: %s\n' "$1" "$(tr '\n' '|' <<<"$2")"; }

say connect "$(q -c 'select 1')"
say parameters "$(q -c 'show client_encoding' -c 'show standard_conforming_strings')"
say several-statements "$(q -c 'select 1; select 2; select 3')"
say empty "$(q -c '' -c ';' -c 'select 1')"
say script "$(q <<'SQL'
drop table if exists p; create table p (id int primary key, t text, n numeric);
insert into p select i, 'row ' || i, i / 7.0 from generate_series(1, 1000) i;
begin; update p set t = 'changed' where id <= 10; savepoint a; delete from p; rollback to a; commit;
select count(*), count(*) filter (where t = 'changed'), sum(n) from p;
SQL
)"
say describe-without-execute "$(q <<<'select id, t, n from p \gdesc')"
say gexec "$(q <<<"select 'select ' || i from generate_series(1, 3) i \\gexec")"
say table-listing "$(q -c '\d p')"
say cursor-fetch "$(q -v FETCH_COUNT=7 -c 'select id from p order by id' | md5sum)"
say error "$(q -c 'select 1/0' -c 'select 2')"
say error-in-transaction "$(q <<'SQL'
begin;
insert into p values (1, 'twice', 0);
select 'not run';
rollback;
select 'usable';
SQL
)"
say error-position "$(q -c 'select no_such_column from p')"
say notices "$(q <<'SQL'
do $$ begin
  raise notice 'a notice'; raise warning 'a warning' using detail = 'd', hint = 'h';
end $$;
SQL
)"
say copy-out "$(q -c '\copy (select * from p order by id) to stdout' | md5sum)"
say copy-out-csv "$(q -c '\copy p to stdout with (format csv, header)' | wc -l)"
say copy-in "$(q -c 'create temp table c (a int, b text)' \
  -c "\\copy c from program 'seq 1 50000 | sed s/.*/\&,line\&/' with (format csv)" \
  -c 'select count(*), sum(a) from c')"
say copy-in-error "$(q -c 'create temp table c (a int)' \
  -c "\\copy c from program 'echo 1; echo two; seq 3 100000'" -c 'select count(*) from c')"
say big-value "$(q -c "select repeat('0123456789', 2000000)" | md5sum)"
big_command() { printf "select length('"; head -c 8000000 /dev/zero | tr '\0' x; printf "');"; }
say big-command "$(big_command | q)"
say many-rows "$(q -c 'select i, md5(i::text) from generate_series(1, 100000) i' | md5sum)"
say listen-notify "$(q -c 'listen channel_a' -c "notify channel_a, 'a payload'" -c 'select 1')"
say prepare-execute "$(q -c "prepare s(int) as select \$1 * 2" -c 'execute s(21)' \
  -c 'execute s(4)' -c 'deallocate s' -c 'execute s(1)')"
say settings "$(PGOPTIONS='-c work_mem=7MB' PGAPPNAME=the-app q -c 'show work_mem' \
  -c 'show application_name')"
say explain "$(q -c 'explain (costs off) select * from p where id = 3')"
say large-object "$(q -c "select lo_from_bytea(4711, 'abc')" -c '\lo_export 4711 /dev/stdout' \
  -c '\lo_unlink 4711')"
say clean-up "$(q -c 'drop table p')"

# An interrupt from the keyboard makes psql send a CancelRequest on a connection of its own.
out=$(mktemp)
psql -X -q -A -t -c 'select pg_sleep(60)' >"$out" 2>&1 &
pid=$!
sleep 1
kill -INT $pid
wait $pid
say cancel "$(cat "$out")"
rm -f "$out"

if [ -n "${WEIR_DENIED:-}" ]; then
  say denied "$(q -c "$WEIR_DENIED" -c 'select 1' | sed -E 's/^(ERROR:  [0-9A-Z]+):.*/\1/')"
fi
