"""asyncpg against whatever PGHOST, PGPORT, ... name. One line per check."""

import asyncio
import datetime
import decimal
import hashlib
import io
import os
import ssl

import asyncpg


def say(name, *values):
    print(f"{name}:", *values, flush=True)


def digest(data):
    if isinstance(data, str):
        data = data.encode()
    return f"{len(data)} {hashlib.md5(data).hexdigest()}"


async def failure(awaitable):
    try:
        await awaitable
    except asyncpg.PostgresError as error:
        return f"{error.sqlstate} {error}".replace("\n", "; ")
    except (asyncio.TimeoutError, TimeoutError):
        return "timeout"
    return "no error"


def connect():
    context = False
    if os.environ["PGSSLMODE"] != "disable":
        context = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])
    return asyncpg.connect(
        host=os.environ["PGHOST"],
        port=int(os.environ["PGPORT"]),
        user=os.environ["PGUSER"],
        password=os.environ["PGPASSWORD"],
        database=os.environ["PGDATABASE"],
        ssl=context,
    )


async def main():
    conn = await connect()
    say("version", conn.get_server_version()[:2], conn.get_settings().client_encoding)
    say("simple", await conn.execute("select 1; select 2"))
    await conn.execute(
        "create temp table t (id int primary key, name text, n numeric, at timestamptz, d jsonb)"
    )
    at = datetime.datetime(2024, 2, 29, 12, 0, tzinfo=datetime.timezone.utc)
    insert = "insert into t values ($1, $2, $3, $4, $5)"
    await conn.execute(
        insert, 1, "one", decimal.Decimal("123456789.000000001"), at, '{"a": [1, 2]}'
    )
    say("row", tuple(await conn.fetchrow("select * from t")))
    await conn.executemany(insert, [(i, f"name {i}", i, at, None) for i in range(2, 2000)])
    say("executemany", await conn.fetchval("select count(*) from t"))
    statement = await conn.prepare("select id, name from t where id = $1")
    rows = [tuple(await statement.fetchrow(i)) for i in range(1, 50)]
    say("prepared", digest(repr(rows)), [str(a.type.name) for a in statement.get_attributes()])
    say(
        "types",
        await conn.fetchval("select array[1, null, 3]"),
        await conn.fetchval("select '1 day'::interval"),
        await conn.fetchval("select '10.0.0.0/8'::inet"),
        await conn.fetchval("select row(1, 'a')"),
    )

    async with conn.transaction():
        total = 0
        async for row in conn.cursor("select id from t order by id", prefetch=50):
            total += row["id"]
        say("cursor", total)
        cursor = await conn.cursor("select id from t order by id")
        await cursor.forward(10)
        say(
            "portal",
            [row["id"] for row in await cursor.fetch(5)],
            [row["id"] for row in await cursor.fetch(5)],
        )

    records = [(i, f"copied {i}") for i in range(5000, 25000)]
    say("copy-in", await conn.copy_records_to_table("t", records=records, columns=["id", "name"]))
    out = io.BytesIO()
    say(
        "copy-out",
        await conn.copy_from_query("select id, name from t order by id", output=out),
        digest(out.getvalue()),
    )
    out = io.BytesIO()
    await conn.copy_from_query("select id, name from t order by id", output=out, format="csv")
    say("copy-out-csv", digest(out.getvalue()))
    bad = conn.copy_to_table(
        "t", source=io.BytesIO(b"x,y\n" * 100000), columns=["id", "name"], format="csv"
    )
    say("copy-error", await failure(bad))

    say("error", await failure(conn.fetch("select 1 / $1::int", 0)))
    say("unique", await failure(conn.execute(insert, 1, "x", 0, at, None)))
    say(
        "transaction",
        await failure(broken_transaction(conn)),
        await conn.fetchval("select count(*) from t where id = -1"),
    )
    async with conn.transaction():
        await conn.execute("insert into t (id) values (-2)")
        say(
            "savepoint",
            await failure(nested(conn)),
            await conn.fetchval("select count(*) from t where id < 0"),
        )

    big = "0123456789abcdef" * (20 * 1024 * 1024 // 16)
    say("big", digest(await conn.fetchval("select $1::text", big)))
    say(
        "many-rows",
        digest(
            repr(
                [
                    tuple(row)
                    for row in await conn.fetch(
                        "select i, md5(i::text) from generate_series(1, 50000) i"
                    )
                ]
            )
        ),
    )

    logs = []
    conn.add_log_listener(lambda _, message: logs.append((message.severity, message.message)))
    await conn.execute("do $$ begin raise notice 'one'; raise warning 'two'; end $$")
    await asyncio.sleep(0.05)
    say("notices", logs)

    heard = asyncio.get_running_loop().create_future()
    await conn.add_listener(
        "channel_a", lambda _c, _p, channel, payload: heard.set_result((channel, payload))
    )
    other = await connect()
    await other.execute("notify channel_a, 'hello'")
    say("notify", await asyncio.wait_for(heard, 10))
    await other.close()

    say(
        "cancel",
        await failure(conn.fetch("select pg_sleep(60)", timeout=0.7)),
        await conn.fetchval("select 1"),
    )
    say("reset", await conn.reset(), await conn.fetchval("select count(*) from t"))
    connections = await asyncio.gather(*[connect() for _ in range(20)])
    values = await asyncio.gather(
        *[c.fetchval("select $1::int * 2", i) for i, c in enumerate(connections)]
    )
    say("twenty-connections", values)
    await asyncio.gather(*[c.close() for c in connections])
    denied = os.environ.get("WEIR_DENIED")
    if denied:
        state = (await failure(conn.fetch(denied))).split()[0]
        say("denied", state, await conn.fetchval("select 1"))
        state = (await failure(conn.execute(denied))).split()[0]
        say("denied-simple", state, await conn.fetchval("select 1"))
    await conn.close()


async def broken_transaction(conn):
    async with conn.transaction():
        await conn.execute("insert into t (id) values (-1)")
        await conn.execute("select no_such_function()")


async def nested(conn):
    async with conn.transaction():
        await conn.execute("insert into t (id) values (-3)")
        await conn.execute("select 1 / 0")


asyncio.run(main())
