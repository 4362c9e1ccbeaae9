"""What a client of HTTP hears of each line of exchanges.tsv: a line of JSON per exchange.

    python exchanges.py requests|httpx|httpx2|aiohttp URL AUTHORITY|- USER:PASSWORD
"""
import asyncio
import base64
import hashlib
import json
import pathlib
import ssl
import sys
import urllib.parse

SHOWN = {"content-type", "location", "set-cookie", "etag", "cache-control", "vary", "link",
         "last-modified", "content-range", "accept-ranges", "retry-after", "content-encoding"}


def table():
    text = pathlib.Path(__file__).with_name("exchanges.tsv").read_text()
    for line in text.splitlines()[1:]:
        name, method, path, fields, content, more = line.split("\t")
        pairs = [] if fields == "-" else [pair.split(": ", 1) for pair in fields.split("; ")]
        yield name, method, path, dict(pairs), content, more == "follow"


def body(content):
    """The bytes, and whether they are sent as they come."""
    kind, _, value = content.partition(":")
    if kind == "text":
        return value.encode(), False
    if kind in ("bytes", "stream"):
        return bytes(at & 255 for at in range(int(value))), kind == "stream"
    return None, False


def pieces(data):
    for at in range(0, len(data), 10_000):
        yield data[at:at + 10_000]


def shown(name, status, fields, data):
    own = sorted([key.lower(), value.replace(ORIGIN, "ORIGIN")] for key, value in fields
                 if key.lower() in SHOWN or key.lower().startswith("x-own"))
    text = data.decode(errors="replace") if len(data) < 3000 else ""
    digest = hashlib.sha256(data).hexdigest()[:16]
    print(json.dumps({"exchange": name, "status": status, "fields": own, "length": len(data),
                      "digest": digest, "text": text[:600]}), flush=True)


def with_requests():
    import requests
    session = requests.Session()
    session.trust_env = False
    for name, method, path, fields, content, follow in table():
        data, streams = body(content)
        # What a Location names is followed by hand where the table says nothing.
        answer = session.request(method, URL + path, headers={**LOGIN, **fields},
                                 data=pieces(data) if streams else data,
                                 allow_redirects=follow, timeout=30,
                                 verify=True if AUTHORITY == "-" else AUTHORITY)
        raw = answer.raw.headers
        pairs = [(key, value) for key in raw for value in raw.getlist(key)]
        shown(name, answer.status_code, dict.fromkeys(pairs), answer.content)
        session.cookies.clear()


def with_httpx(http2):
    import httpx
    verify = True if AUTHORITY == "-" else ssl.create_default_context(cafile=AUTHORITY)
    with httpx.Client(http2=http2, verify=verify, trust_env=False, timeout=30) as client:
        for name, method, path, fields, content, follow in table():
            data, streams = body(content)
            answer = client.request(method, URL + path, headers={**LOGIN, **fields},
                                    content=pieces(data) if streams else data,
                                    follow_redirects=follow)
            expected = "HTTP/2" if http2 else "HTTP/1.1"
            assert answer.http_version == expected, answer.http_version
            shown(name, answer.status_code, answer.headers.multi_items(), answer.content)
            client.cookies.clear()


async def with_aiohttp():
    import aiohttp
    context = True if AUTHORITY == "-" else ssl.create_default_context(cafile=AUTHORITY)
    jar = aiohttp.DummyCookieJar()

    async def stream(data):
        for piece in pieces(data):
            yield piece

    async with aiohttp.ClientSession(cookie_jar=jar) as client:
        for name, method, path, fields, content, follow in table():
            data, streams = body(content)
            import yarl
            url = yarl.URL(URL + path, encoded=True)
            async with client.request(method, url, headers={**LOGIN, **fields}, ssl=context,
                                      data=stream(data) if streams else data,
                                      allow_redirects=follow) as answer:
                pairs = [(key.decode(), value.decode()) for key, value in answer.raw_headers]
                shown(name, answer.status, pairs, await answer.read())


CLIENT, URL, AUTHORITY, login = sys.argv[1:]
ORIGIN = URL
LOGIN = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
if CLIENT == "requests":
    with_requests()
elif CLIENT == "aiohttp":
    asyncio.run(with_aiohttp())
else:
    with_httpx(CLIENT == "httpx2")
