"""The server of exchanges.tsv once more, for servers of Python.

Under gunicorn it is `told:app`, in Apache (mod_wsgi) `app`, under uvicorn `told:asgi`, of aiohttp
`told:own`. TOLD_LOG is the file that gets a line for each request that came whole; TOLD_PORT the
port, for `away`.
"""
import asyncio
import gzip
import hashlib
import json
import os
import time

TEXT = b"the same words again and again; " * 100
SHOWN = ("content-type", "cookie", "range", "if-none-match")
PLAIN = ("content-type", "text/plain")


def told(method, url, fields, length, digest):
    own = sorted([name, value] for name, value in fields.items()
                 if name.startswith("x-own") or name in SHOWN)
    said = {"method": method, "url": url, "own": own, "length": length, "digest": digest}
    return 200, [("content-type", "application/json")], [json.dumps(said).encode()], 0


def noted(method, url, fields, length, digest):
    with open(os.environ["TOLD_LOG"], "a", buffering=1) as log:
        log.write(json.dumps({"method": method, "url": url, "host": fields.get("host"),
                              "length": length, "digest": digest}) + "\n")


def reply(method, url, fields, length, digest):
    """Status, fields, pieces of the content, and how long to wait before each."""
    kind, _, argument = url.split("?")[0][1:].partition("/")
    if kind == "status":
        empty = argument in ("204", "304")
        more = [("retry-after", "7")] if argument == "429" else []
        return int(argument), [] if empty else [PLAIN, *more], \
            [] if empty else [f"status {argument}".encode()], 0
    if kind == "moved":
        return int(argument), [("location", "/told/there")], [b"elsewhere"], 0
    if kind == "away":
        place = f"http://localhost:{os.environ['TOLD_PORT']}/told/away?a=b#c"
        return 302, [("location", place)], [], 0
    if kind == "pieces":
        return 200, [], [bytes([at] * 3) for at in range(int(argument))], 0.01
    if kind == "large":
        return 200, [], [bytes([at]) * 65536 for at in range(int(argument) * 16)], 0
    if kind == "sized":
        size = int(argument) << 20
        return 200, [("content-length", str(size))], [b"y" * size], 0
    if kind == "fields":
        many = [(f"x-own-{at}", f"value {at}") for at in range(int(argument))]
        return 200, many, [b"fields"], 0
    return {
        "gzip": (200, [PLAIN, ("content-encoding", "gzip")], [gzip.compress(TEXT, mtime=0)], 0),
        "range": (206, [("content-range", "bytes 2-5/10"), ("accept-ranges", "bytes")],
                  [b"cdef"], 0),
        "cookies": (200, [("set-cookie", "a=1; Path=/; HttpOnly"),
                          ("set-cookie", 'b="two, three"; Max-Age=60')], [b"cookies"], 0),
        "kept": (200, [("etag", '"v1"'), ("cache-control", "max-age=60"), ("vary", "accept"),
                       ("last-modified", "Sat, 28 Nov 2026 10:00:00 GMT"),
                       ("link", "</a>; rel=next")], [b"kept"], 0),
        "nothing": (200, [], [], 0),
        "closes": (200, [("connection", "close")], [b"the last one"], 0),
        "events": (200, [("content-type", "text/event-stream")],
                   [b"id: %d\nevent: tick\ndata: %d\ndata: more\n\n" % (at, at)
                    for at in range(5)], 0.02),
    }.get(kind) or told(method, url, fields, length, digest[:16])


def app(environ, start):
    fields = {name[5:].replace("_", "-").lower(): value for name, value in environ.items()
              if name.startswith("HTTP_")}
    if environ.get("CONTENT_TYPE"):
        fields["content-type"] = environ["CONTENT_TYPE"]
    digest, length = hashlib.sha256(), 0
    while data := environ["wsgi.input"].read(65536):
        digest.update(data)
        length += len(data)
    if length < int(environ.get("CONTENT_LENGTH") or 0):
        raise OSError("the request broke off")
    url = environ.get("RAW_URI") or environ["REQUEST_URI"]
    asked = environ["REQUEST_METHOD"], url, fields, length, digest.hexdigest()
    noted(*asked)
    status, own, pieces, pause = reply(*asked)
    # gunicorn wants to say itself whether the connection stays.
    start(f"{status} Status", [pair for pair in own if pair[0] != "connection"])

    def paced():
        for piece in pieces:
            time.sleep(pause)
            yield piece
    return paced()


def own(_arguments):
    from aiohttp import web

    async def answer(request):
        fields = {name.lower(): value for name, value in request.headers.items()}
        digest, length = hashlib.sha256(), 0
        async for data in request.content.iter_any():
            digest.update(data)
            length += len(data)
        asked = request.method, request.raw_path, fields, length, digest.hexdigest()
        noted(*asked)
        status, pairs, pieces, pause = reply(*asked)
        response = web.StreamResponse(status=status)
        for name, value in pairs:
            response.headers.add(name, value)
        if not pieces or request.method == "HEAD":
            response.content_length = 0
        await response.prepare(request)
        for piece in pieces:
            await asyncio.sleep(pause)
            await response.write(piece)
        return response

    server = web.Application(client_max_size=1 << 30)
    server.router.add_route("*", "/{rest:.*}", answer)
    return server


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    fields = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    digest, length, more = hashlib.sha256(), 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        digest.update(event.get("body", b""))
        length += len(event.get("body", b""))
        more = event.get("more_body", False)
    query = scope["query_string"].decode("latin-1")
    url = scope["raw_path"].decode("latin-1") + ("?" + query if query else "")
    asked = scope["method"], url, fields, length, digest.hexdigest()
    noted(*asked)
    status, own, pieces, pause = reply(*asked)
    headers = [(name.encode(), value.encode()) for name, value in own]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for piece in pieces:
        await asyncio.sleep(pause)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
