"""psycopg 3 against whatever PGHOST, PGPORT, ... name. One line per check."""

import hashlib
import os
import threading
import time

import psycopg
from psycopg import ClientCursor, sql


def say(name, *values):
    print(f"{name}:", *values, flush=True)


def digest(data):
    if isinstance(data, str):
        data = data.encode()
    return f"{len(data)} {hashlib.md5(data).hexdigest()}"


def failure(run):
    try:
        run()
    except psycopg.Error as error:
        diag = error.diag
        return (
            f"{error.sqlstate} {diag.message_primary} {diag.message_detail} {diag.constraint_name}"
        )
    return "no error"


def main():
    conn = psycopg.connect(autocommit=True)
    say("libpq", psycopg.pq.version() // 10000)
    say("tls", conn.pgconn.ssl_in_use)
    say("server", conn.info.parameter_status("client_encoding"), conn.info.server_version)
    conn.execute("create temp table t (id int primary key, name text, data bytea, at timestamptz)")

    simple = ClientCursor(conn)
    say("simple", simple.execute("select %s, %s", (1, "two")).fetchall())
    several = simple.execute("select 1; select 2")
    say("several", several.fetchall(), several.nextset(), several.fetchall())

    insert = "insert into t values (%s, %s, %s, to_timestamp(%s)) returning id"
    say("extended", conn.execute(insert, (1, "one", b"\x00\xff\\", 1e9)).fetchall())
    rows = [(i, f"name {i}", os.urandom(0), i) for i in range(2, 500)]
    with conn.cursor() as cursor:
        cursor.executemany(insert, rows)
        say("executemany", cursor.rowcount)
    results = []
    for i in range(20):
        row = conn.execute("select id * %s, name from t where id = %s", (i, i + 1), prepare=True)
        results.append(row.fetchone())
    say("prepared", results)
    with conn.cursor(binary=True) as cursor:
        cursor.execute(
            "select id, name, data, at, array[1, null, 3], '{\"a\": 1}'::jsonb from t where id = 1"
        )
        say("binary", cursor.fetchall())
    say("null", conn.execute("select null::int, %s::text", (None,)).fetchall())

    with conn.pipeline() as pipeline:
        cursors = [conn.execute("select %s::int + 1", (i,)) for i in range(100)]
        pipeline.sync()
        say("pipeline", sum(cursor.fetchone()[0] for cursor in cursors))
    say("pipeline-error", pipeline_error(conn))
    say("pipeline-deep", pipeline_deep(conn))
    say("after-pipeline", conn.execute("select 1").fetchone())

    with conn.cursor() as cursor:
        with cursor.copy("copy t (id, name) from stdin") as copy:
            for i in range(1000, 21000):
                copy.write_row((i, f"copied {i}"))
        say("copy-in", cursor.rowcount)
        with cursor.copy("copy (select id, name from t order by id) to stdout") as copy:
            say("copy-out", digest(b"".join(copy)))
        with cursor.copy(
            "copy (select id, name from t order by id) to stdout (format binary)"
        ) as copy:
            say("copy-out-binary", digest(b"".join(copy)))
        cursor.execute("create temp table b (id int, name text, data bytea)")
        with cursor.copy("copy b from stdin (format binary)") as copy:
            copy.set_types(["int4", "text", "bytea"])
            for i in range(5000):
                copy.write_row((i, f"name {i}", bytes([0, 255, i % 256])))
        cursor.execute("select count(*), md5(string_agg(b::text, '|' order by id)) from b")
        say("copy-in-binary", cursor.fetchone())
        say("copy-fail", failure(lambda: copy_fail(cursor)))
    say("after-copy", conn.execute("select count(*) from t").fetchone())

    with conn.transaction():
        with conn.cursor("named") as cursor:
            cursor.itersize = 100
            cursor.execute("select id from t order by id")
            say("server-cursor", sum(row[0] for row in cursor))

    say("error", failure(lambda: conn.execute("select 1/0")))
    say("constraint", failure(lambda: conn.execute(insert, (1, "again", b"", 0))))
    say("transaction", failure(lambda: broken_transaction(conn)))
    say("after-error", conn.execute("select count(*) from t where id = 777777").fetchone())

    big = "0123456789abcdef" * (20 * 1024 * 1024 // 16)
    say("big-out", digest(conn.execute("select repeat('0123456789abcdef', 1310720)").fetchone()[0]))
    say("big-in", conn.execute("select md5(%s::text), length(%s::text)", (big, big)).fetchone())
    blob = bytes(range(256)) * (4 * 1024 * 1024 // 256)
    say("big-binary", digest(conn.execute("select %b::bytea", (blob,)).fetchone()[0]))

    notices = []
    conn.add_notice_handler(lambda diag: notices.append((diag.severity, diag.message_primary)))
    conn.execute("do $$ begin raise notice 'one'; raise warning 'two'; end $$")
    say("notices", notices)

    conn.execute("listen channel_p")
    other = psycopg.connect(autocommit=True)
    other.execute("select pg_notify('channel_p', 'hello')")
    say("notify", [(n.channel, n.payload) for n in conn.notifies(timeout=10, stop_after=1)])
    other.close()

    say("cancel", cancel(conn))
    say("after-cancel", conn.execute("select 1").fetchone())
    say(
        "backend-pid",
        conn.info.backend_pid == conn.execute("select pg_backend_pid()").fetchone()[0],
    )
    denied = os.environ.get("WEIR_DENIED")
    if denied:
        say(
            "denied",
            failure(lambda: conn.execute(denied)).split()[0],
            conn.execute("select 1").fetchone(),
        )
        say("denied-in-transaction", denied_in_transaction(conn, denied))
        say("denied-in-pipeline", denied_in_pipeline(conn, denied))
    conn.close()


def pipeline_error(conn):
    done = []
    try:
        with conn.pipeline() as pipeline:
            cursors = [conn.execute("select %s / %s", (1, i % 3)) for i in range(5)]
            pipeline.sync()
            for cursor in cursors:
                done.append(cursor.fetchone())
    except psycopg.Error as error:
        return f"{error.sqlstate} after {len(done)}"
    return f"no error, {done}"


def pipeline_deep(conn):
    """More in flight than any buffer holds, prepared, with rows, changes and syncs among them."""
    with conn.pipeline() as pipeline:
        cursors = []
        for i in range(3000):
            row = conn.execute("select %s::int, repeat('x', %s)", (i, i % 500), prepare=True)
            cursors.append(row)
            if i % 700 == 0:
                conn.execute("update t set name = name where id = %s", (i,))
                pipeline.sync()
        rows = [cursor.fetchone() for cursor in cursors]
    return sum(row[0] for row in rows), sum(len(row[1]) for row in rows)


def copy_fail(cursor):
    with cursor.copy("copy t (id, name) from stdin") as copy:
        copy.write("1000001\tgood\n")
        copy.write("bad\tbad\n" * 10000)


def broken_transaction(conn):
    with conn.transaction():
        conn.execute("insert into t (id) values (777777)")
        try:
            conn.execute("select no_such_function()")
        except psycopg.Error:
            conn.execute("select 1")


def cancel(conn):
    def later():
        time.sleep(0.7)
        conn.cancel_safe(timeout=10)

    thread = threading.Thread(target=later)
    thread.start()
    result = failure(lambda: conn.execute("select pg_sleep(60)"))
    thread.join()
    return result


def denied_in_transaction(conn, denied):
    states = []
    conn.execute("begin")
    states.append(failure(lambda: conn.execute(denied)).split()[0])
    conn.execute("rollback")
    states.append(conn.execute("select 1").fetchone())
    return states


def denied_in_pipeline(conn, denied):
    state = "no error"
    try:
        with conn.pipeline() as pipeline:
            first = conn.execute("select 1")
            conn.execute(sql.SQL(denied))
            conn.execute("select 3")
            pipeline.sync()
            first.fetchone()
    except psycopg.Error as error:
        state = error.sqlstate
    return state, conn.execute("select 4").fetchone()


main()
