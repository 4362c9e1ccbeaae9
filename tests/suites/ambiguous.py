"""What two servers could read differently, sent to weir in front of servers: each is refused, or
arrives at the server as the one request that weir recorded.

    python ambiguous.py BED.json

BED.json: `login`, `port` (weir's, in clear), `servers` (name: [address of weir, the server's Host,
the log of what it got]), `search` (a command that prints weir's rows), `every` (true: split at each
byte, else at those behind what all requests have in common).

The bytes of each are in ambiguous_h1.py and ambiguous_h2.py. Whatever is sent has a name of its own
in its path, so that every line of a server's log has a row of weir's, and the other way round.
"""
import asyncio
import collections
import hashlib
import json
import pathlib
import re
import subprocess
import sys

from ambiguous_h1 import CUT, ONE, REFUSED, TWO, h1_cases
from ambiguous_h2 import h2_cases, heard

SPLIT_BYTES_MAX = 700
AT_ONCE = 12
NAME = re.compile(r"c\d+-[a-z]+-[a-z0-9]+")


class Sent:
    """A case on its way to a server, and the statuses that came back."""

    def __init__(self, case, server, how):
        self.case, self.server, self.how, self.statuses = case, server, how, []

    def name(self, number):
        return f"c{number}-{self.server}-{self.how}"


async def exchange(bed, data, cuts):
    """All that comes back for bytes that are sent in pieces."""
    reader, writer = await asyncio.open_connection(bed[0], PORT)
    writer.transport.set_write_buffer_limits(0)
    answer = b""
    try:
        for start, end in zip([0, *cuts], [*cuts, len(data)]):
            writer.write(data[start:end])
            await writer.drain()
            if cuts:
                await asyncio.sleep(0.002 if len(cuts) == 1 else 0)
        if not data.startswith(b"PRI * HTTP/2"):
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(-1), 30)
        else:
            answer = await asyncio.wait_for(heard(reader), 30)
    except OSError:
        # A refusal closes; what was still under way then resets the connection.
        pass
    except TimeoutError:
        answer = b"HTTP/1.1 000 nothing came in 30 s"
    writer.close()
    return answer


def statuses(answer):
    if isinstance(answer, list):
        return answer
    return [int(it) for it in re.findall(rb"(?:^|(?<=[^\r]))HTTP/1\.1 (\d\d\d) ", answer)]


def plan(cases):
    """Every case whole and byte by byte at each server, and cut once, each cut at the next one."""
    names = list(BED["servers"])
    turn = 0
    for number, case in enumerate(cases):
        for server in names:
            yield number, Sent(case, server, "whole"), lambda data: []
            if len(case.data) <= SPLIT_BYTES_MAX:
                yield number, Sent(case, server, "drip"), lambda data: range(1, len(data))
        # Cuts are counted from the end, since names differ in length.
        if len(case.data) > SPLIT_BYTES_MAX:
            continue
        for back in range(1, 10_000):
            server = names[turn % len(names)]
            sent = Sent(case, server, f"cut{back}")
            data = case.bytes(sent.name(number), BED["servers"][server][0], BED["login"])
            if back >= (len(data) if BED["every"] else len(data) - case.common(data)):
                break
            turn += 1
            yield number, sent, lambda data, back=back: [len(data) - back]


async def send_all(cases):
    gate = asyncio.Semaphore(AT_ONCE)
    all_sent = []

    async def one(number, sent, cuts):
        bed = BED["servers"][sent.server]
        data = sent.case.bytes(sent.name(number), bed[0], BED["login"])
        async with gate:
            answer = await exchange(bed, data, list(cuts(data)))
        sent.statuses = statuses(answer)
        all_sent.append((sent.name(number), sent))

    await asyncio.gather(*[one(*it) for it in plan(cases)])
    return dict(all_sent)


def at_servers():
    """By name what came whole: method, target, Host, digest of the content."""
    got = collections.defaultdict(list)
    for server, (_, _, log) in BED["servers"].items():
        for line in pathlib.Path(log).read_text().splitlines():
            it = json.loads(line)
            if it.get("status", 200) != 200:
                continue
            if "body" in it:
                it["digest"] = hashlib.sha256(it["body"].encode()).hexdigest()
            name = NAME.search(it["url"])
            key = name[0] if name else f"nameless at {server}"
            got[key].append((it["method"], it["url"], it["host"], it["digest"]))
    return got


def in_the_lake():
    """By name the requests that weir let through, each with the status of its answer."""
    rows = collections.defaultdict(list)
    empty = hashlib.sha256(b"").hexdigest()
    output = subprocess.run(BED["search"], check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        row = json.loads(line)
        target = row["query_text"].split(" ")[1]
        name = NAME.search(target)
        if row["decision"] != "allow" or not name:
            continue
        host = BED["servers"][row["target"]][1]
        response = row["response"] or {}
        more = json.loads(response.get("attrs") or "{}")
        # The row has an absolute target as the client wrote it; it goes on as its path.
        path = re.sub(r"^https?://[^/?]*", "", target)
        digest = more.get("request_body_sha256") or empty
        rows[name[0]].append(((row["verb"], path, host, digest), response.get("status")))
    return rows


def wrong(name, sent, got, rows):
    """Why this is not as it has to be, or nothing."""
    left = [row for row, _ in rows]
    for arrived in got:
        if arrived not in left:
            return f"the server got {arrived}, weir recorded {left}"
        left.remove(arrived)
    answered = [row for row, status in rows if status == 200]
    if len(answered) > len(got):
        return f"weir recorded {answered}, the server got {got}"
    count, final = len(got), [it for it in sent.statuses if it >= 200 or it == 0]
    if 0 in final or not final and sent.case.expect != CUT:
        return f"no answer: {sent.statuses}"
    if sent.case.expect in (REFUSED, CUT) and (count or any(it < 400 for it in final)):
        return f"not refused: {final}, {got}"
    if sent.case.expect == ONE and (count != 1 or final[0] != 200):
        return f"did not arrive: {final}, {got}"
    if sent.case.expect == TWO and (count != 2 or final != [200, 200]):
        return f"two were sent: {final}, {got}"
    if count > (2 if sent.case.expect == TWO else 1):
        return f"more than was sent: {got}"
    return None


def main():
    cases = [*h1_cases(), *h2_cases()]
    sent = asyncio.run(send_all(cases))
    got, rows = at_servers(), in_the_lake()
    by_case = collections.defaultdict(list)
    for name in [*got, *rows]:
        if name not in sent:
            by_case["what nobody sent"].append((name, f"{got.get(name)} {rows.get(name)}"))
    for name, it in sent.items():
        reason = wrong(name, it, got.get(name, []), rows.get(name, []))
        if reason:
            by_case[it.case.name].append((name, reason))
    for case, reasons in by_case.items():
        print(f"{case}: {len(reasons)} times, e.g. {reasons[0][0]}: {reasons[0][1]}")
    refused = sum(1 for name in sent if not got.get(name))
    print(f"{len(cases)} cases, {len(sent)} times sent, {refused} times refused")
    print(f"{len(cases) - len(by_case)} passed, {len(by_case)} failed")


BED = json.loads(pathlib.Path(sys.argv[1]).read_text())
PORT = BED["port"]
main()
