"""What people do with psycopg who may only read. One line per check."""

import asyncio
import datetime

import psycopg
from psycopg import ClientCursor, sql
from psycopg.rows import class_row, dict_row, namedtuple_row
from psycopg.types import TypeInfo
from psycopg.types.composite import CompositeInfo
from psycopg.types.enum import EnumInfo
from psycopg.types.range import RangeInfo


def say(name, run):
    try:
        print(f"{name}:", repr(run()), flush=True)
    except psycopg.Error as error:
        print(f"{name}: {error.sqlstate} {error.diag.message_primary}", flush=True)


class Order:
    def __init__(self, id, status):
        self.id, self.status = id, status

    def __repr__(self):
        return f"Order({self.id}, {self.status})"


def types(conn):
    say("enum", lambda: EnumInfo.fetch(conn, "mood").labels)
    say("type", lambda: TypeInfo.fetch(conn, "jsonb").name)
    say("composite", lambda: CompositeInfo.fetch(conn, "orders").field_names)
    say("range", lambda: RangeInfo.fetch(conn, "tstzrange").name)
    say("no type", lambda: TypeInfo.fetch(conn, "nothing_of_that_name"))


def cursors(conn):
    one = "select id, status from orders where id = %s"
    say("dict", lambda: conn.cursor(row_factory=dict_row).execute(one, (3,)).fetchone())
    say("named", lambda: conn.cursor(row_factory=namedtuple_row).execute(one, (3,)).fetchone())
    say("class", lambda: conn.cursor(row_factory=class_row(Order)).execute(one, (3,)).fetchall())
    say("client", lambda: ClientCursor(conn).execute(one, (3,)).fetchall())
    say("binary", lambda: conn.cursor(binary=True).execute(
        "select id, total, at, tags, data, born, feels from orders join customers using (id)"
        " where id < 3 order by id").fetchall())
    say("stream", lambda: list(conn.cursor().stream("select id from orders where id < 5")))
    say("prepared", lambda: [conn.execute(one, (n,), prepare=True).fetchone() for n in range(9)])
    say("many", lambda: conn.cursor().executemany("select %s::int", [(1,), (2,)], returning=True))
    say("any", lambda: conn.execute("select id from orders where id = any(%s) order by 1",
                                    ([3, 1, 2],)).fetchall())
    say("composed", lambda: conn.execute(sql.SQL("select {} from {} order by {} limit 2").format(
        sql.SQL(", ").join(map(sql.Identifier, ["id", "status"])), sql.Identifier("orders"),
        sql.Identifier("id"))).fetchall())
    say("values", lambda: conn.execute(
        "select %s, %s::date, %s::timestamptz is not null, %s::jsonb, %s::uuid, %s::bytea",
        (1.5, datetime.date(2024, 1, 1), datetime.datetime.now(datetime.timezone.utc),
         '{"a": 1}', "00000000-0000-0000-0000-000000000001", b"\x00\xff")).fetchone())
    say("error", lambda: conn.execute("select 1/0"))
    say("no column", lambda: conn.execute("select nothing from orders"))


def transactions(conn):
    def nested():
        with conn.transaction():
            conn.execute("set transaction read only")
            try:
                with conn.transaction():
                    conn.execute("select nothing")
            except psycopg.errors.UndefinedColumn:
                pass
            return conn.execute("select count(*) from orders").fetchone()

    def server_side():
        with conn.transaction(), conn.cursor("c", scrollable=True) as cursor:
            cursor.execute("select id from orders order by id")
            first = cursor.fetchmany(3)
            cursor.scroll(5)
            return first, cursor.fetchmany(2), cursor.fetchone()

    def held():
        with conn.transaction():
            conn.execute("declare h cursor with hold for select id from orders order by id")
        rows = conn.execute("fetch 2 from h").fetchall()
        conn.execute("close h")
        return rows

    def copied():
        with conn.cursor().copy("copy (select id, status from orders where id < 4) to stdout") as c:
            return list(c.rows())

    def pipeline():
        with conn.pipeline():
            a = conn.execute("select 1")
            b = conn.execute("select status from orders where id = %s", (3,))
            return a.fetchall(), b.fetchall()

    say("nested", nested)
    say("server side", server_side)
    say("with hold", held)
    say("copy", copied)
    say("copy table", lambda: len(b"".join(conn.cursor().copy("copy lines to stdout").__enter__())))
    say("pipeline", pipeline)
    conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    conn.read_only = True
    conn.autocommit = False
    say("isolation", lambda: conn.execute("show transaction_isolation").fetchone())
    conn.rollback()
    conn.isolation_level = conn.read_only = None
    conn.autocommit = True


def settings(conn):
    for text in ["set statement_timeout = '5s'", "set search_path = public",
                 "set timezone = 'UTC'", "set application_name = 'reports'", "reset all",
                 "set local lock_timeout = '1s'", "discard all"]:
        say(text, lambda: conn.execute(text).statusmessage)
    say("listen", lambda: conn.execute("listen channel").statusmessage)
    say("unlisten", lambda: conn.execute("unlisten *").statusmessage)
    say("explain", lambda: conn.execute(
        "explain (costs off) select * from orders where id = 3").fetchall())
    say("explain json", lambda: conn.execute(
        "explain (format json, costs off) select count(*) from orders").fetchone()[0][0].keys())


async def asynchronously():
    conn = await psycopg.AsyncConnection.connect(autocommit=True)
    async with conn, conn.cursor() as cursor:
        await cursor.execute("select count(*) from orders")
        print("async:", await cursor.fetchone(), flush=True)


def main():
    conn = psycopg.connect(autocommit=True)
    types(conn)
    cursors(conn)
    transactions(conn)
    settings(conn)
    conn.close()
    asyncio.run(asynchronously())


main()
