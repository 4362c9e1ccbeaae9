// node-postgres against whatever PGHOST, PGPORT, ... name. One line per check.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const { Client, Pool } = require("pg");

const env = process.env;
const say = (name, ...values) =>
  console.log(`${name}:`, ...values.map((value) => JSON.stringify(value)));
const digest = (text) => `${text.length} ${crypto.createHash("md5").update(text).digest("hex")}`;

function options() {
  const ssl =
    env.PGSSLMODE === "disable"
      ? false
      : { ca: fs.readFileSync(env.PGSSLROOTCERT), servername: "localhost" };
  return {
    host: env.PGHOST,
    port: Number(env.PGPORT),
    user: env.PGUSER,
    password: env.PGPASSWORD,
    database: env.PGDATABASE,
    ssl,
  };
}

async function connect() {
  const client = new Client(options());
  await client.connect();
  return client;
}

async function failure(promise) {
  try {
    await promise;
    return "no error";
  } catch (error) {
    return `${error.code} ${error.message} ${error.detail || ""}`;
  }
}

async function main() {
  const client = await connect();
  say("simple", (await client.query("select 1 as a, 'b' as b")).rows);
  const several = await client.query("select 1 as a; select 2 as a");
  say("several", several.map((result) => result.rows));
  await client.query("create temp table t (id int primary key, name text, n numeric, j jsonb)");
  const insert = "insert into t values ($1, $2, $3, $4) returning *";
  say("extended", (await client.query(insert, [1, "one", "1.50", { a: [1] }])).rows);
  const prepared = [];
  for (let i = 0; i < 20; i++) {
    const query = { name: "twice", text: "select $1::int * 2 as v", values: [i] };
    prepared.push((await client.query(query)).rows[0].v);
  }
  say("prepared", prepared);
  const queued = await Promise.all(
    Array.from({ length: 50 }, (_, i) => client.query("select $1::int as v", [i])),
  );
  say("queued", queued.map((result) => result.rows[0].v));
  say("null", (await client.query("select $1::text as v", [null])).rows);
  say("buffer", (await client.query("select $1::bytea as v", [Buffer.from([0, 255, 92])])).rows);
  say("array-mode", (await client.query({ text: "select 1, 2", rowMode: "array" })).rows);
  const fields = (await client.query("select id, name, n from t")).fields;
  say("fields", fields.map((field) => [field.name, field.dataTypeID, field.columnID]));

  say("error", await failure(client.query("select 1/0")));
  say("error-extended", await failure(client.query("select 1 / $1::int", [0])));
  say("unique", await failure(client.query(insert, [1, "x", 0, null])));
  await client.query("begin");
  say("in-transaction", await failure(client.query("select no_such_function()")));
  say("aborted", await failure(client.query("select 1")));
  await client.query("rollback");
  say("after-error", (await client.query("select 1 as a")).rows);

  const big = "0123456789abcdef".repeat((20 * 1024 * 1024) / 16);
  say("big", digest((await client.query("select $1::text as v", [big])).rows[0].v));
  const many = await client.query("select i, md5(i::text) from generate_series(1, 50000) i");
  say("many-rows", digest(JSON.stringify(many.rows)));

  const notices = [];
  client.on("notice", (notice) => notices.push([notice.severity, notice.message]));
  await client.query("do $$ begin raise notice 'one'; raise warning 'two'; end $$");
  say("notices", notices);

  const heard = new Promise((resolve) => client.once("notification", resolve));
  await client.query("listen channel_n");
  const pool = new Pool({ ...options(), max: 5 });
  await pool.query("select pg_notify('channel_n', 'hello')");
  const { channel, payload } = await heard;
  say("notify", channel, payload);
  const pooled = await Promise.all(
    Array.from({ length: 40 }, (_, i) => pool.query("select $1::int as v", [i])),
  );
  say("pool", pooled.map((result) => result.rows[0].v));
  await pool.end();

  // The driver's own cancel: a CancelRequest on a new connection.
  const { Query } = require("pg");
  const ended = new Promise((resolve) => {
    const query = new Query("select pg_sleep(60)");
    query.on("error", (error) => resolve(`${error.code} ${error.message}`));
    query.on("end", () => resolve("no error"));
    client.query(query);
    setTimeout(() => new Client({ ...options() }).cancel(client, query), 700);
  });
  say("cancel", await ended);
  say("after-cancel", (await client.query("select 1 as a")).rows);

  if (env.WEIR_DENIED) {
    const state = (await failure(client.query(env.WEIR_DENIED))).split(" ")[0];
    say("denied", state, (await client.query("select 1 as a")).rows);
    const extended = { text: env.WEIR_DENIED, values: [], queryMode: "extended" };
    const again = (await failure(client.query(extended))).split(" ")[0];
    say("denied-extended", again, (await client.query("select 1 as a")).rows);
  }
  await client.end();
}

main().catch((error) => {
  console.log("failed:", error);
  process.exit(1);
});
