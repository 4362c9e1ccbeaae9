"""What weir keeps in memory while much passes: large bodies both ways, a chat of WebSockets. And
whether it goes on when a target does.

    python streams.py BED.json

BED.json: `login`, `plain` and `secure` (URLs of weir), `pid` (weir's), `gib`, `chat` (the URL that
says every message again), `chat_s`, `pauses` (a URL whose target has `pauses_port`). The server
of the others is drivers/http_server.js.
"""
import asyncio
import base64
import json
import pathlib
import random
import sys
import tempfile
import time

import websockets

# What a body may add to weir's anonymous memory, and a chat of so many people: each of them says
# something large now and then, which added 46 MiB in seven minutes and 42 MiB in 25.
GROWN_KIB_MAX = 16 << 10
PEOPLE, CHAT_GROWN_KIB_MAX = 60, 64 << 10
# How long an upload may take whose target does not read for a second.
PAUSED_S_MAX = 8


def anonymous_kib():
    for line in pathlib.Path(f"/proc/{BED['pid']}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise OSError("weir has ended")


class Peak:
    """The most memory from here on."""

    async def __aenter__(self):
        self.before = self.most = anonymous_kib()
        self.task = asyncio.create_task(self.look())
        return self

    async def look(self):
        while True:
            await asyncio.sleep(0.1)
            self.most = max(self.most, anonymous_kib())

    async def __aexit__(self, *_):
        self.task.cancel()

    def grown(self):
        return self.most - self.before


async def shell(command):
    child = await asyncio.create_subprocess_shell(
        command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    output, errors = await child.communicate()
    return output.decode(), errors.decode().strip()


async def passes(name, command, expected):
    """Whether so many bytes arrive and memory stays flat."""
    start = time.monotonic()
    async with Peak() as peak:
        output, errors = await shell(command)
    seconds = time.monotonic() - start
    said = f"{name}: {seconds:.0f} s, {peak.grown()} KiB more at most"
    good = expected in output and peak.grown() <= GROWN_KIB_MAX
    print(said if good else f"{said}, FAILED: {output[:300]} {errors}")
    return good


async def bodies():
    if not BED["gib"]:
        return
    size, mib = BED["gib"] << 30, BED["gib"] << 10
    curl = f"curl -sSk -m 3000 -u {BED['login']} --noproxy '*'"
    for name, url, version in (("HTTP/1.1", BED["plain"], "--http1.1"),
                               ("HTTP/2", BED["secure"], "--http2")):
        down = f"{curl} {version} -o /dev/null -w '%{{size_download}} %{{http_version}}' {url}"
        up = f"head -c {size} /dev/zero | {curl} {version} -T - {url}/up"
        yield await passes(f"{BED['gib']} GiB down, {name}", f"{down}/large/{mib}", f"{size} ")
        yield await passes(f"{BED['gib']} GiB up, {name}", up, f'"length":{size},')


async def pauses():
    """A target that lets its client wait gets what comes then without a further pause."""
    size = 8 << 20

    async def target(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(1)
        await reader.readexactly(size)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    file = tempfile.NamedTemporaryFile()
    file.truncate(size)
    server = await asyncio.start_server(target, "127.0.0.1", BED["pauses_port"])
    for version in ("--http1.1", "--http2-prior-knowledge"):
        start = time.monotonic()
        output, errors = await shell(
            f"curl -sS -m 60 -u {BED['login']} --noproxy '*' {version} -T {file.name} "
            f"-w '%{{http_code}}' {BED['pauses']}/up")
        seconds = time.monotonic() - start
        good = output == "200" and seconds <= PAUSED_S_MAX
        print(f"a target that pauses for 1 s, {version[2:7]}: {seconds:.1f} s"
              f"{'' if good else ', FAILED: '}{output if not good else ''} {errors}")
        yield good
    server.close()


async def person(number, until):
    """Says things of every size, now and then leaves and comes again; how many came back."""
    chance = random.Random(number)
    auth = "Basic " + base64.b64encode(BED["login"].encode()).decode()
    heard = 0
    while time.monotonic() < until:
        async with websockets.connect(BED["chat"], additional_headers={"Authorization": auth},
                                      max_size=None, proxy=None) as socket:
            for _ in range(chance.randrange(5, 200)):
                if time.monotonic() >= until:
                    break
                size = int(2 ** chance.uniform(0, 17))
                said = chance.randbytes(size) if chance.random() < 0.3 else "\u00e4" * (size // 2)
                await socket.send(said)
                if chance.random() < 0.1:
                    await (await socket.ping())
                back = await asyncio.wait_for(socket.recv(), 30)
                if back != said:
                    raise ValueError(f"{said[:40]!r} came back as {back[:40]!r}")
                heard += 1
                await asyncio.sleep(chance.uniform(0.05, 0.5))
    return heard


async def chat():
    until = time.monotonic() + BED["chat_s"]
    async with Peak() as peak:
        ends = await asyncio.gather(*[person(at, until) for at in range(PEOPLE)],
                                    return_exceptions=True)
    wrong = [repr(it) for it in ends if isinstance(it, BaseException)]
    heard = sum(it for it in ends if isinstance(it, int))
    good = not wrong and heard > PEOPLE and peak.grown() <= CHAT_GROWN_KIB_MAX
    print(f"chat: {heard} messages of {PEOPLE} people in {BED['chat_s']} s, "
          f"{peak.grown()} KiB more at most{'' if good else ', FAILED: '}{'; '.join(wrong[:3])}")
    return good


async def main():
    ended = [good async for good in pauses()]
    ended += [good async for good in bodies()]
    ended.append(await chat())
    print(f"{sum(ended)} passed, {len(ended) - sum(ended)} failed")


BED = json.loads(pathlib.Path(sys.argv[1]).read_text())
asyncio.run(main())
