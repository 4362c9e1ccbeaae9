"""Runs scripts of frames against PostgreSQL and through weir and compares every byte that is heard.

    differential.py --direct 'port=5432 user=.. password=.. dbname=..' --through '..' [CASE ..]

What must differ is taken out: cancel keys, process ids, the OIDs of temporary tables, and the names
of the login. The last line counts; the exit code is 1 when any case differs.
"""

import argparse
import concurrent.futures
import pathlib
import re
import struct
import sys
import time

import script
from wire import Connection, Endpoint

SCRIPTS = pathlib.Path(__file__).parent / "scripts"
# Sizes of the pieces that a case is cut into through weir; `None` is one write.
PIECES = [None, 1, 7, 1000]
# One byte at a time is for the shapes, not for the volume.
PIECES_MAX = 1500
# Process ids and the schema of temporary tables, as they stand in messages.
VOLATILE = re.compile(rb"(\bPID |\bpg_temp_)\d+")
FIRST_USER_OID = 16384


class Trouble(Exception):
    """The conversation itself did not work."""


def play(case, endpoint, piece, tls):
    """Runs one case and returns what each of its connections heard."""
    connections, name, pending, size = {}, "a", [], piece

    def current():
        if name not in connections:
            connections[name] = Connection(endpoint)
            if "raw" not in case.words:
                connections[name].login(case.login, tls)
        return connections[name]

    def leave():
        data, pending[:] = b"".join(pending), []
        if data:
            current().send(data, size)

    try:
        for word, arguments in case.steps:
            if word == "send":
                pending.append(arguments)
            elif word == "startup":
                pending.append(arguments(endpoint))
            elif word == "split":
                leave()
                size = int(arguments[0]) or None
            elif word == "on":
                leave()
                name = arguments[0]
            else:
                leave()
                listen(case, current(), word, arguments)
        leave()
        for connection in connections.values():
            end(case, connection)
        return {key: normal(case, c, endpoint) for key, c in sorted(connections.items())}
    except (TimeoutError, ConnectionError, ValueError) as error:
        raise Trouble(f"{type(error).__name__}: {error}") from error
    finally:
        for connection in connections.values():
            connection.close()


def listen(case, connection, word, arguments):
    if word == "read":
        tag, count = arguments[0].encode(), int((arguments[1:] or ["1"])[0])
        if not connection.hear_tag(tag, count) and connection.ended is None:
            raise Trouble(f"waits for {arguments[0]} behind\n    {shown(connection.heard[-5:])}")
    elif word == "wait":
        connection.hear(lambda: False, float(arguments[0]))
    elif word == "fin":
        connection.finish()
    elif word == "byte":
        connection.hear_byte()
    elif word == "tls":
        connection.start_tls()
    elif word == "auth":
        connection.authenticate()
    elif word == "cancel":
        connection.cancel()
    elif word == "end":
        if not connection.hear(lambda: False):
            raise Trouble(f"is not closed behind\n    {shown(connection.heard[-5:])}")


def end(case, connection):
    """Says good-bye and hears the rest."""
    connection.send(b"X\0\0\0\4")
    if not connection.hear(lambda: False):
        raise Trouble(f"does not end behind\n    {shown(connection.heard[-5:])}")


# --- what must differ -----------------------------------------------------------------------------


def normal(case, connection, endpoint):
    oids, heard = {}, []
    for tag, body in connection.heard:
        if tag == b"K":
            body = b"%d bytes" % len(body)
        elif tag == b"A":
            body = body[4:]
        elif tag == b"T":
            body = description(body, oids)
        elif tag in (b"E", b"N"):
            body = report(case, body, endpoint)
        heard.append((tag, body))
    while "close-alike" in case.words and heard and heard[-1][0] == b"E":
        heard.pop()
    return heard


def description(body, oids):
    """A RowDescription whose tables are numbered as they come."""
    (count,) = struct.unpack("!H", body[:2])
    out, at = [body[:2]], 2
    for _ in range(count):
        name_end = body.index(b"\0", at) + 1
        (table,) = struct.unpack("!I", body[name_end : name_end + 4])
        if table >= FIRST_USER_OID:
            table = oids.setdefault(table, len(oids) + 1)
        rest = body[name_end + 4 : name_end + 18]
        out += [body[at:name_end], struct.pack("!I", table), rest]
        at = name_end + 18
    return b"".join(out)


def report(case, body, endpoint):
    """An error or a notice; two names of the login may stand in it."""
    fields = [(f[:1], f[1:]) for f in body.split(b"\0") if f]
    kinds = dict(fields)
    if "loose" in case.words:
        return b" ".join(kinds.get(code, b"") for code in (b"V", b"C"))
    for own, word in ((endpoint.user, b"$user"), (endpoint.dbname, b"$dbname")):
        fields = [(code, text.replace(b'"%s"' % own.encode(), word)) for code, text in fields]
    return b"\0".join(code + VOLATILE.sub(rb"\1?", text) for code, text in fields)


# --- comparing ------------------------------------------------------------------------------------


def shown(heard, most=40):
    lines = [f"{tag.decode() or '-'} {body[:160]!r}" for tag, body in heard[:most]]
    if len(heard) > most:
        lines.append(f".. {len(heard) - most} more")
    return "\n    ".join(lines) or "nothing"


def volume(case):
    return sum(len(data) for word, data in case.steps if word == "send")


def compare(case, direct, through, pieces, tls):
    """None, or how weir differs."""
    expect = play(case, direct, None, tls)
    for piece in pieces:
        if piece and ("whole" in case.words or volume(case) // piece > PIECES_MAX):
            continue
        found = play(case, through, piece, tls)
        if found == expect:
            continue
        if play(case, direct, piece, tls) != expect:
            return f"PostgreSQL itself answers differently in pieces of {piece}"
        for name in expect:
            if found.get(name) != expect[name]:
                where = f"connection {name}, pieces of {piece or 'any size'}, TLS {tls}"
                return f"{where}\n{difference(found.get(name, []), expect[name])}"
    return None


def difference(found, expect):
    """Both ways of going on, from where they part."""
    same = 0
    while same < min(len(found), len(expect)) and found[same] == expect[same]:
        same += 1
    return (
        f"  alike:\n    {shown(expect[max(same - 3, 0) : same])}\n"
        f"  through weir, then:\n    {shown(found[same:], 12)}\n"
        f"  direct, then:\n    {shown(expect[same:], 12)}"
    )


def prepare(file, endpoint):
    """Runs the file's SQL directly; returns the server's major version."""
    connection = Connection(endpoint)
    connection.login()
    settings = dict(body.split(b"\0")[:2] for tag, body in connection.heard if tag == b"S")
    for sql in file.setup:
        connection.send(script.frame("Q", [sql.encode()]))
        if not connection.hear_tag(b"Z"):
            raise SystemExit(f"setup: {sql}: no answer")
        failed = [body for tag, body in connection.heard if tag == b"E"]
        if failed:
            raise SystemExit(f"setup: {sql}: {failed[0]!r}")
    connection.close()
    return int(re.match(rb"\d+", settings[b"server_version"]).group())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--direct", required=True)
    parser.add_argument("--through", required=True)
    parser.add_argument("--ca", help="certificate authority: every case also runs over TLS")
    parser.add_argument("--show", action="store_true", help="print what PostgreSQL answers")
    parser.add_argument("--scripts", type=pathlib.Path, default=SCRIPTS)
    parser.add_argument("cases", nargs="*", help="only cases whose file or name holds one of these")
    options = parser.parse_args()
    paths = sorted(options.scripts.glob("*.wire"))
    # Files have tables and channels of their own, so they run side by side.
    with concurrent.futures.ThreadPoolExecutor(len(paths)) as pool:
        counts = list(pool.map(lambda path: run_file(path, options), paths))
    same, differ = (sum(column) for column in zip(*counts))
    print(f"{same} passed, {differ} failed")
    return 1 if differ or not same else 0


def run_file(path, options):
    """Plays one file's cases and returns how many were alike and how many were not."""
    file, begun = script.load(path), time.monotonic()
    direct, through = Endpoint(options.direct, options.ca), Endpoint(options.through, options.ca)

    def wanted(case):
        name = f"{path.stem}: {case.name}"
        return not options.cases or any(word in name for word in options.cases)

    cases = [case for case in file.cases if wanted(case)]
    if not cases:
        return 0, 0
    version = prepare(file, direct)
    same, lines = 0, []
    cases = [case for case in cases if version in case.versions]
    for case in cases:
        if options.show:
            heard = play(case, direct, None, False)["a"]
            lines.append(f"{path.stem}: {case.name}\n    {shown(heard)}")
        problem = trial(case, direct, through, bool(options.ca))
        if problem:
            lines.append(f"DIFFERS {case.place} {case.name}: {problem}")
        same += not problem
    lines.append(f"{path.stem}: {same} alike, {time.monotonic() - begun:.1f} s")
    print("\n".join(lines), flush=True)
    return same, len(cases) - same


def trial(case, direct, through, tls):
    try:
        problem = compare(case, direct, through, PIECES, False)
        if problem is None and tls and "raw" not in case.words:
            problem = compare(case, direct, through, [None], True)
        return problem
    except Trouble as trouble:
        return str(trouble)


if __name__ == "__main__":
    sys.exit(main())
