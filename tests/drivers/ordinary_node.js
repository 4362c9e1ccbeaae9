// What people do with node-postgres who may only read. One line per check.
"use strict";

const { Client, Pool, types } = require("pg");

const env = process.env;
const options = {
  host: env.PGHOST, port: Number(env.PGPORT), user: env.PGUSER, password: env.PGPASSWORD,
  database: env.PGDATABASE, ssl: false, application_name: "reports", statement_timeout: 20000,
  query_timeout: 20000,
};

async function say(name, run) {
  try {
    console.log(`${name}:`, JSON.stringify(await run()));
  } catch (error) {
    console.log(`${name}: ${error.code} ${error.message}`);
  }
}

async function single() {
  const client = new Client(options);
  await client.connect();
  const rows = async (...query) => (await client.query(...query)).rows;
  await say("simple", () => rows("select count(*) from orders"));
  await say("parameters", () =>
    rows("select id, status, total, at from orders where id = $1 and status <> $2", [3, "x"]));
  await say("array", () => rows("select id from orders where id = any($1) order by id", [[3, 1]]));
  await say("types", () => rows(
    "select $1::date as d, $2::timestamptz as t, $3::jsonb as j, $4::bytea as b, $5::numeric as n, "
      + "$6::text[] as a, $7::uuid as u, $8::bool as x",
    ["2024-01-01", "2024-01-01T00:00:00Z", { a: 1 }, Buffer.from([0, 255]), "1.50", ["a", "b"],
      "00000000-0000-0000-0000-000000000001", true]));
  await say("nulls", () => rows("select $1::int as a, $2::text as b", [null, undefined]));
  for (let id = 1; id < 4; id++) {
    await say("named", () => rows(
      { name: "one", text: "select status from orders where id = $1", values: [id] }));
  }
  await say("row mode", () => rows({ text: "select id, status from orders order by id limit 2",
    rowMode: "array" }));
  await say("fields", async () => (await client.query("select * from orders limit 0")).fields
    .map((field) => [field.name, field.dataTypeID]));
  await say("several", async () =>
    (await client.query("select 1 as a; select 2 as a")).map((result) => result.rows));
  await say("empty", async () => (await client.query("")).rows);
  await say("at once", () => Promise.all([1, 2, 3, 4].map((id) =>
    rows("select status from orders where id = $1", [id]))));
  await say("join", () => rows(
    "select c.name, count(*)::int as n, sum(o.total) as sum from customers c "
      + "join orders o on o.customer_id = c.id where o.at > $1 group by c.name "
      + "order by n desc, c.name limit $2 offset $3", ["2020-01-01", 3, 1]));
  await say("search", () => rows(
    "select id from orders where status ilike '%' || $1 || '%' order by at desc nulls last limit 2",
    ["PEN"]));
  await say("enum", () => rows("select feels from customers where feels = $1 limit 1", ["happy"]));
  await say("types of the server", () =>
    rows("select oid, typname, typarray from pg_type where typname = 'int4'"));
  await say("division", () => rows("select 1 / $1::int", [0]));
  await say("no column", () => rows("select nothing from orders"));
  await say("begin", async () => {
    await client.query("begin isolation level repeatable read read only");
    await client.query("savepoint a");
    await client.query("select nothing").catch(() => client.query("rollback to savepoint a"));
    const found = await rows("select count(*)::int as n from orders");
    await client.query("commit");
    return found;
  });
  await say("cursor", async () => {
    await client.query("begin");
    await client.query("declare c no scroll cursor for select id from orders order by id");
    const found = [await rows("fetch 2 from c"), await rows("fetch 1 from c")];
    await client.query("close c");
    await client.query("rollback");
    return found;
  });
  await say("settings", async () => {
    await client.query("set time zone 'UTC'");
    return rows("show time zone");
  });
  await client.end();
}

async function pooled() {
  const pool = new Pool({ ...options, max: 3, idleTimeoutMillis: 100 });
  await say("pool", () => Promise.all(Array.from({ length: 9 }, async (_, id) =>
    (await pool.query("select $1::int * 2 as v", [id])).rows[0].v)));
  await say("checked out", async () => {
    const client = await pool.connect();
    try {
      return (await client.query("select current_setting('application_name') as name")).rows;
    } finally {
      client.release();
    }
  });
  await pool.end();
}

types.setTypeParser(20, Number);
single().then(pooled);
