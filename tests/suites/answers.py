"""Answers that two clients could read differently, sent by a target: each is refused (502) or cut,
or arrives as the one answer it is; what is asked next is never answered by a part of it.

    python answers.py BED.json

BED.json: `login`, `plain` and `secure` (URLs of weir), `port` (where the target listens).
"""
import asyncio
import json
import pathlib
import ssl
import sys

import httpx

HIDDEN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Own: hidden\r\n\r\nhidden"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
# What the client gets: a status, 502, or an answer that breaks off.
BAD, CUT = 502, "cut"
# Name, what arrives, bytes; `close` ends the connection behind them.
CASES = [
    ("a length", (200, b"hello"), OK + b"Content-Length: 5\r\n\r\nhello"),
    ("chunks", (200, b"hello"), OK + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n"),
    ("no reason", (200, b"hello"), b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"),
    ("an empty reason", (200, b"hello"), b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello"),
    ("to the end close", (200, b"hello"), OK + b"\r\nhello"),
    ("1.0 close", (200, b"hello"), b"HTTP/1.0 200 OK\r\n\r\nhello"),
    ("204", (204, b""), b"HTTP/1.1 204 No Content\r\n\r\n"),
    ("304 with a length", (304, b""), b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ("100 first", (200, b"hello"), b"HTTP/1.1 100 Continue\r\n\r\n" + OK
     + b"Content-Length: 5\r\n\r\nhello"),
    ("103 first", (200, b"hello"), b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
     + b"Content-Length: 5\r\n\r\nhello"),
    ("two answers", (200, b"hello"), OK + b"Content-Length: 5\r\n\r\nhello" + HIDDEN),
    ("two answers, chunks", (200, b"hello"),
     OK + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    ("204 with content", (204, b""), b"HTTP/1.1 204 No Content\r\nContent-Length: 60\r\n\r\n"
     + HIDDEN),
    ("304 and another", (304, b""), b"HTTP/1.1 304 Not Modified\r\n\r\n" + HIDDEN),
    ("line ends behind", (200, b"hello"), OK + b"Content-Length: 5\r\n\r\nhello\r\n\r\n"),
    ("length and chunks", BAD, OK + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN),
    ("chunks and length", BAD, OK + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + HIDDEN),
    ("lengths", BAD, OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhellox"),
    ("a length twice", BAD, OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    ("5, 5", BAD, OK + b"Content-Length: 5, 5\r\n\r\nhello"),
    ("+5", BAD, OK + b"Content-Length: +5\r\n\r\nhello"),
    ("0x5", BAD, OK + b"Content-Length: 0x5\r\n\r\nhello"),
    ("-1", BAD, OK + b"Content-Length: -1\r\n\r\nhello"),
    ("no length", BAD, OK + b"Content-Length:\r\n\r\nhello"),
    ("2^64 and 5", BAD, OK + b"Content-Length: 18446744073709551621\r\n\r\nhello"),
    ("gzip, chunked", BAD, OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("identity", BAD, OK + b"Transfer-Encoding: identity\r\n\r\nhello"),
    ("chunked twice", BAD, OK + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n"),
    ("chunks of 1.0", BAD, b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n0\r\n\r\n"),
    ("LF", BAD, b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
    ("LF behind a field", BAD, OK + b"X: y\nContent-Length: 5\r\n\r\nhello"),
    ("CR in a value", BAD, OK + b"X: a\rb\r\nContent-Length: 5\r\n\r\nhello"),
    ("NUL in a value", BAD, OK + b"X: a\0b\r\nContent-Length: 5\r\n\r\nhello"),
    ("folded", BAD, OK + b"X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello"),
    ("blank before the colon", BAD, OK + b"Content-Length : 5\r\n\r\nhello"),
    ("no colon", BAD, OK + b"X\r\nContent-Length: 5\r\n\r\nhello"),
    ("no name", BAD, OK + b": y\r\nContent-Length: 5\r\n\r\nhello"),
    ("status 099", BAD, b"HTTP/1.1 099 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("status 1000", BAD, b"HTTP/1.1 1000 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("status 2", BAD, b"HTTP/1.1 2 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("status 600", "any", b"HTTP/1.1 600 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("version 1.2", BAD, b"HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("version 2", BAD, b"HTTP/2 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("no HTTP", BAD, b"ICY 200 OK\r\n\r\nhello"),
    ("an empty line first", "any", b"\r\n" + OK + b"Content-Length: 5\r\n\r\nhello"),
    ("101 unasked", BAD, b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
     b"Upgrade: websocket\r\n\r\n" + HIDDEN),
    ("17 hints", BAD, b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17 + OK + b"Content-Length: 0\r\n\r\n"),
    ("130 fields", BAD, OK + b"X: y\r\n" * 130 + b"Content-Length: 0\r\n\r\n"),
    ("70 KiB", BAD, OK + b"X: " + b"y" * 70 * 1024 + b"\r\nContent-Length: 0\r\n\r\n"),
    ("nothing close", BAD, b""),
    ("half a head close", BAD, OK + b"Content-Len"),
    ("less than its length close", CUT, OK + b"Content-Length: 50\r\n\r\nhello"),
    ("no last chunk close", CUT, OK + CHUNKED + b"\r\n5\r\nhello\r\n"),
    ("a bad size", CUT, OK + CHUNKED + b"\r\n5\r\nhello\r\n0x0\r\n\r\n" + HIDDEN),
    ("LF in chunks", CUT, OK + CHUNKED + b"\r\n5\nhello\r\n0\r\n\r\n"),
    ("two bytes behind a chunk", CUT, OK + CHUNKED + b"\r\n5\r\nhelloXX0\r\n\r\n"),
    ("LF at the end of chunks", CUT, OK + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\n"),
]


async def target(reader, writer):
    """Says what the path asks for, in pieces of the size that it names."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            _, kind, number, *piece = path.split("/")
            if kind == "plain":
                body = path.encode()
                writer.write(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
                continue
            name, _, data = CASES[int(number)]
            size = int(piece[0]) or len(data) or 1
            for at in range(0, len(data), size):
                writer.write(data[at:at + size])
                await writer.drain()
                if size < len(data):
                    await asyncio.sleep(0)
            if name.endswith("close"):
                break
    except (OSError, EOFError, asyncio.CancelledError):
        pass
    writer.close()


async def ask(client, url, path):
    try:
        answer = await client.get(url + path)
        return answer.status_code, answer.content
    except httpx.HTTPError as error:
        return CUT, type(error).__name__


async def case(client, url, number, piece):
    """Why it is wrong, or nothing."""
    name, expected, data = CASES[number]
    got = await ask(client, url, f"/case/{number}/{piece}")
    if expected == CUT and got[0] not in (CUT, BAD) or expected == BAD and got[0] != BAD:
        return f"{got}"
    if isinstance(expected, tuple) and got != expected:
        return f"{got}"
    for turn in range(2):
        path = f"/plain/{number}-{piece}-{turn}"
        behind = await ask(client, url, path)
        if behind != (200, path.encode()):
            return f"{got}, and behind it {behind}"
    return None


async def main():
    server = await asyncio.start_server(target, "127.0.0.1", BED["port"], limit=1 << 20)
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    wrong = {}
    for url, http2 in ((BED["plain"], False), (BED["secure"], True)):
        login = tuple(BED["login"].split(":"))
        async with httpx.AsyncClient(http2=http2, verify=anybody, auth=login, timeout=30,
                                     trust_env=False) as client:
            for number, (name, _, data) in enumerate(CASES):
                small = len(data) < 1000
                for piece in (0, *([1, *range(2, len(data), 7)] if small else ())):
                    reason = await case(client, url, number, piece)
                    if reason:
                        kind = f"{name}, {'HTTP/2' if http2 else 'HTTP/1.1'}"
                        wrong.setdefault(kind, f"in pieces of {piece}: {reason}")
    server.close()
    for kind, reason in wrong.items():
        print(f"{kind}: {reason}")
    print(f"{len(CASES) * 2 - len(wrong)} passed, {len(wrong)} failed")


BED = json.loads(pathlib.Path(sys.argv[1]).read_text())
asyncio.run(main())
