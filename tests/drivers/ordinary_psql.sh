#!/bin/bash
# What people ask psql for who may only read. One block per request.
set -uo pipefail

request=
while read -r line; do
  # A backslash at its end joins a line with the next one.
  case $line in
    *\\) request+=${line%\\}; continue ;;
  esac
  request+=$line
  printf '== %s\n' "$request"
  psql -X -c "$request" 2>&1
  request=
done <<'REQUESTS' |
\d
\d+
\d orders
\d+ orders
\d+ customers
\d+ open_orders
\d+ per_status
\d+ events
\d+ events_old
\d+ orders_open
\d numbers
\da
\dA+
\dAc
\dAf
\dAo
\dAp
\db
\dc
\dconfig
\dC
\dd
\ddp
\dD+
\dE+
\des+
\det+
\deu+
\dew+
\df
\df+ total_of
\dF+
\dFd
\dFp
\dFt
\dg
\di+
\dL+
\dm+
\dn+
\do
\dO
\dp
\dP+
\drds
\dRp+
\dRs
\ds+
\dt+
\dT+
\du
\dv+
\dx+
\dX
\dy
\sf total_of
\sv open_orders
\z
\encoding
\copy lines to stdout
\copy (select id, status from orders where id < 4) to stdout with (format csv, header)
select count(*), sum(total), avg(total), min(id), max(status) from orders
select status, count(*) from orders group by rollup (status) order by 1
select c.name, count(o.id) from customers c left join orders o on o.customer_id = c.id \
  group by c.id order by c.id limit 3
select * from information_schema.columns where table_name = 'orders' order by ordinal_position
select table_name, table_type from information_schema.tables where table_schema = 'public' \
  order by 1
select constraint_name, constraint_type from information_schema.table_constraints where \
  table_name = 'orders' and constraint_type <> 'CHECK' order by 1
select relname, n_live_tup >= 0 from pg_stat_user_tables order by 1
select name, setting from pg_settings where name = 'work_mem'
select pg_size_pretty(pg_relation_size('orders')), pg_get_indexdef('orders_open'::regclass)
select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'orders'::regclass \
  and contype <> 'n' order by 1
with recursive t(n) as (values (1) union all select n + 1 from t where n < 5) select sum(n) from t
select id, row_number() over (partition by status order by id) from orders order by id limit 3
select to_char(at, 'YYYY-MM'), date_trunc('day', at), extract(year from at) from orders where id = 3
select data ->> 'n', data @> '{"n": 1}', tags[1], array_length(tags, 1) from customers where id = 1
select array_agg(id order by id) filter (where id < 4), string_agg(status, ',' order by \
  id) from orders where id < 6
select jsonb_agg(x) from (select id, status from orders order by id limit 2) x
select lower(status), coalesce(nullif(status, 'x'), 'y'), status like 'op%', status ~ '^o' \
  from orders where id = 3
select feels, feels::text, feels > 'sad' from customers where id = 1
select generate_series(1, 3), unnest(array['a', 'b', 'c'])
explain (costs off) select * from orders where id = 1
explain (analyze, costs off, timing off, summary off, buffers off) select count(*) from \
  orders where id < 0
begin; set local work_mem = '8MB'; select 1; commit
select 1 / 0
select nothing from orders
select 'x'::int
REQUESTS
  sed '/^LINE /d; /^ *^$/d'
