"""Peers that mean harm, on either side of weir, by the transport of asyncssh.

  client PORT USER KEY            hostile clients, one after the other
  target PORT KEY OWN_PORT HOST   a hostile target on OWN_PORT; clients come through weir as
                                  SCENARIO@evil
  lax PORT USER KEY               a client without strict key exchange: prints what a command says
  lax-target OWN_PORT HOST        a target without it

Of each scenario a line `NAME` is printed while it is at its worst; it goes on when a line comes.
What has to end the connection is checked here, what it costs weir by whoever reads the lines.
"""

import asyncio
import os
import socket
import struct
import sys
import time

import asyncssh
from asyncssh.packet import Boolean, Byte, String, UInt32

FLOOD_S = float(os.environ.get("WEIR_FLOOD_S", "1"))
OPEN, CONFIRM, FAILED = 90, 91, 92
ADJUST, DATA, EXTENDED, EOF, CLOSE, REQUEST, SUCCESS = 93, 94, 95, 96, 97, 98, 99
GLOBAL, IGNORE, DEBUG, PING = 80, 2, 4, 192


class Sink:
    """Every channel of a connection: what comes is counted and forgotten."""

    def __init__(self):
        self.seen = {}
        self.waiting = []

    def log_received_packet(self, *_):
        pass

    log_sent_packet = log_received_packet

    def process_packet(self, kind, _, packet):
        self.seen[kind] = self.seen.get(kind, 0) + 1
        for wanted, future in self.waiting:
            if wanted == kind and not future.done():
                future.set_result(packet)
        self.waiting = [(kind, future) for kind, future in self.waiting if not future.done()]
        return True

    # As a table of channels.
    def __getitem__(self, _):
        return self

    def __contains__(self, _):
        return True

    def values(self):
        return []

    def get(self, *_):
        return None


class Peer:
    """One connection whose messages are made by hand."""

    def __init__(self, conn):
        self.conn = conn
        self.sink = Sink()
        conn._channels = self.sink
        handlers = dict(type(conn)._packet_handlers)
        # Opens and requests of the connection are the scenario's.
        for kind in (OPEN, CONFIRM, FAILED, GLOBAL, 81, 82):
            handlers[kind] = self.take
        conn._packet_handlers = handlers

    def take(self, _, kind, pktid, packet):
        if kind in (CONFIRM, FAILED):
            packet.get_uint32()
        return self.sink.process_packet(kind, pktid, packet)

    def post(self, kind, *fields):
        self.conn.send_packet(kind, *fields)

    def raw(self, data):
        self.conn._transport.write(data)

    def deafen(self):
        self.conn._transport.pause_reading()

    def is_over(self):
        return self.conn._transport is None or self.conn._transport.is_closing()

    async def wait(self, kind):
        future = asyncio.get_running_loop().create_future()
        self.sink.waiting.append((kind, future))
        return await asyncio.wait_for(future, 20)

    async def flood(self, make, seconds=FLOOD_S):
        """Sends what `make` says of 0, 1, 2, ... as far as weir takes it."""
        until = time.monotonic() + seconds
        count = 0
        while time.monotonic() < until and not self.is_over():
            if self.conn._transport.get_write_buffer_size() > 1 << 20:
                await asyncio.sleep(0.01)
                continue
            for _ in range(50):
                self.post(*make(count))
                count += 1
            await asyncio.sleep(0)
        return count

    async def channel(self, number=0, window=2 << 20, packet=32768):
        """Opens a session; the number that the other side has for it."""
        confirmed = asyncio.ensure_future(self.wait(CONFIRM))
        await asyncio.sleep(0)
        self.post(OPEN, String("session"), UInt32(number), UInt32(window), UInt32(packet))
        answer = await confirmed
        return answer.get_uint32()

    def request(self, channel, name, *fields, reply=False):
        self.post(REQUEST, UInt32(channel), String(name), Boolean(reply), *fields)

    async def running(self, text, **settings):
        """A channel in which a command runs."""
        channel = await self.channel(**settings)
        answered = asyncio.ensure_future(self.wait(SUCCESS))
        await asyncio.sleep(0)
        self.request(channel, "exec", String(text), reply=True)
        await answered
        return channel


# --- hostile clients -----------------------------------------------------------------------------


async def ignored(peer):
    await peer.flood(lambda _: (IGNORE, String(bytes(1000))))


async def debugged(peer):
    await peer.flood(lambda _: (DEBUG, Boolean(True), String(bytes(1000)), String("")))


async def pings(peer):
    peer.deafen()
    await peer.flood(lambda _: (PING, String(bytes(1000))))


async def unknown(peer):
    peer.deafen()
    await peer.flood(lambda _: (199, String(bytes(100))))


async def keepalives(peer):
    peer.deafen()
    await peer.flood(lambda _: (GLOBAL, String("keepalive@openssh.com"), Boolean(True)))


async def listeners(peer):
    peer.deafen()
    await peer.flood(
        lambda n: (GLOBAL, String("tcpip-forward"), Boolean(True), String("x" * 200), UInt32(n))
    )


async def opens(peer):
    peer.deafen()
    window = UInt32(1 << 31)
    await peer.flood(lambda n: (OPEN, String("session"), UInt32(n), window, UInt32(32768)))


async def tunnels(peer):
    peer.deafen()
    fields = (UInt32(1 << 31), UInt32(32768), String("x" * 1000), UInt32(1), String(""), UInt32(1))
    await peer.flood(lambda n: (OPEN, String("direct-tcpip"), UInt32(n), *fields))


async def opens_and_closes(peer):
    until = time.monotonic() + FLOOD_S
    number = 0
    while time.monotonic() < until:
        channel = await peer.channel(number)
        closed = asyncio.ensure_future(peer.wait(CLOSE))
        await asyncio.sleep(0)
        peer.post(CLOSE, UInt32(channel))
        await closed
        number += 1


async def adjusts(peer):
    channel = await peer.running("sleep 60")
    await peer.flood(lambda _: (ADJUST, UInt32(channel), UInt32(1)))


async def huge_adjusts(peer):
    channel = await peer.running("sleep 60")
    for _ in range(3):
        peer.post(ADJUST, UInt32(channel), UInt32(0xFFFFFFFF))


async def no_window(peer):
    for number in range(20):
        await peer.running("yes", number=number, window=number % 2)
    await asyncio.sleep(FLOOD_S)


async def unread(peer):
    for number in range(5):
        await peer.running("yes", number=number, window=0xFFFFFFFF)
    peer.deafen()
    await asyncio.sleep(FLOOD_S)


async def packets_of_one_byte(peer):
    await peer.running("yes", window=1 << 30, packet=1)
    peer.deafen()
    await asyncio.sleep(FLOOD_S)


async def before_request(peer):
    channel = await peer.channel()
    peer.post(DATA, UInt32(channel), String("early"))


async def before_confirmation(peer):
    peer.post(OPEN, String("session"), UInt32(0), UInt32(1000), UInt32(1000))
    peer.post(DATA, UInt32(0), String("early"))


async def after_close(peer):
    channel = await peer.running("sleep 60")
    peer.post(CLOSE, UInt32(channel))
    peer.post(DATA, UInt32(channel), String("late"))


async def after_close_requests(peer):
    channel = await peer.running("sleep 60")
    peer.post(CLOSE, UInt32(channel))
    peer.request(channel, "exec", String("true"))


async def nobodys(peer):
    peer.post(DATA, UInt32(77), String("whose"))


async def oversize(peer):
    channel = await peer.running("cat > /dev/null")
    peer.post(DATA, UInt32(channel), String(bytes(32769)))


async def beyond_window(peer):
    channel = await peer.running("sleep 60")
    for _ in range(100):
        peer.post(DATA, UInt32(channel), String(bytes(32768)))


async def long_packet(peer):
    peer.post(IGNORE, String(bytes(300_000)))


async def successes(peer):
    channel = await peer.running("sleep 60")
    peer.post(SUCCESS, UInt32(channel))


async def global_successes(peer):
    peer.post(81)


async def rekeys(peer):
    until = time.monotonic() + FLOOD_S
    while time.monotonic() < until and not peer.is_over():
        if peer.conn._kex_complete:
            peer.conn._send_kexinit()
        await asyncio.sleep(0)


async def half_rekey(peer):
    channel = await peer.running("yes", window=1 << 31)
    peer.conn._send_kexinit()
    peer.conn._recv_handler = lambda: False
    await asyncio.sleep(FLOOD_S)
    del channel


async def double_kexinit(peer):
    for _ in range(2):
        peer.conn._send_kexinit()


async def environments(peer):
    channel = await peer.channel()
    value = String(bytes(5000))
    for number in range(300):
        peer.request(channel, "env", String(f"LC_{number}"), value)
    await peer.flood(
        lambda n: (REQUEST, UInt32(channel), String("env"), Boolean(False), String(f"LC_{n}"), value)
    )


async def sizes(peer):
    channel = await peer.channel()
    terminal = (String("x"), UInt32(80), UInt32(24), UInt32(0), UInt32(0), String(""))
    peer.request(channel, "pty-req", *terminal)
    peer.request(channel, "exec", String("sleep 60"))
    name, size = String("window-change"), (UInt32(0), UInt32(0))
    await peer.flood(
        lambda n: (REQUEST, UInt32(channel), name, Boolean(False), UInt32(n), UInt32(n), *size)
    )


async def signals(peer):
    channel = await peer.running("sleep 60")
    await peer.flood(
        lambda _: (REQUEST, UInt32(channel), String("signal"), Boolean(False), String("USR1"))
    )


async def wanted_replies(peer):
    peer.deafen()
    channel = 0
    peer.post(OPEN, String("session"), UInt32(0), UInt32(1000), UInt32(1000))
    await asyncio.sleep(0.3)
    await peer.flood(
        lambda _: (REQUEST, UInt32(channel), String("x" * 100), Boolean(True), String(bytes(100)))
    )


async def eofs(peer):
    channel = await peer.running("sleep 60")
    peer.post(EOF, UInt32(channel))
    peer.post(EOF, UInt32(channel))


async def long_names(peer):
    channel = await peer.channel()
    for number in range(200):
        peer.request(channel, "x" * 200_000, String("y" * 40_000), reply=number < 30)
    peer.request(channel, "exec", String("true " + "x" * 240_000))


async def files(peer):
    """Operations by the thousand whose answers nobody reads."""
    channel = await peer.channel(window=1000)
    peer.request(channel, "subsystem", String("sftp"), reply=True)
    await asyncio.sleep(0.5)
    packet = lambda *fields: String(b"".join(fields))
    peer.post(DATA, UInt32(channel), String(packet(Byte(1), UInt32(3))))
    stat = lambda n: packet(Byte(17), UInt32(n), String("/" + "x" * 200))
    for number in range(5000):
        peer.post(DATA, UInt32(channel), String(stat(number)))
        if number % 50 == 0:
            await asyncio.sleep(0)


async def endless_operation(peer):
    channel = await peer.channel()
    peer.request(channel, "subsystem", String("sftp"), reply=True)
    await asyncio.sleep(0.5)
    peer.post(DATA, UInt32(channel), String(UInt32(0xFFFFFFFF) + bytes(1000)))


async def noise(peer):
    await peer.running("sleep 60")
    peer.raw(os.urandom(100_000))


async def cut(peer):
    """The first half of a packet, and then nothing."""
    channel = await peer.running("yes", window=1 << 31)
    sealed = []
    peer.conn._transport, transport = _Catch(sealed), peer.conn._transport
    peer.post(ADJUST, UInt32(channel), UInt32(1))
    peer.conn._transport = transport
    data = b"".join(sealed)
    peer.raw(data[: len(data) - 20])
    peer.deafen()
    await asyncio.sleep(FLOOD_S)


class _Catch:
    def __init__(self, into):
        self.into = into

    def write(self, data):
        self.into.append(bytes(data))


async def gone(peer):
    """The connection is reset while much runs."""
    for number in range(50):
        await peer.running("yes", number=number, window=1 << 20)
    transport = peer.conn._transport
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
    await asyncio.sleep(0.2)


# Scenario, and whether the connection must end by it.
CLIENTS = [
    (ignored, False),
    (debugged, False),
    (pings, False),
    (unknown, False),
    (keepalives, None),
    (listeners, None),
    (opens, None),
    (tunnels, None),
    (opens_and_closes, False),
    (adjusts, False),
    (huge_adjusts, True),
    (no_window, False),
    (unread, False),
    (packets_of_one_byte, False),
    (before_request, True),
    (before_confirmation, True),
    (after_close, True),
    (after_close_requests, True),
    (nobodys, True),
    (oversize, True),
    (beyond_window, True),
    (long_packet, True),
    (successes, True),
    (global_successes, True),
    (rekeys, True),
    (half_rekey, False),
    (double_kexinit, True),
    (environments, False),
    (sizes, False),
    (signals, False),
    (wanted_replies, None),
    (eofs, True),
    (long_names, None),
    (files, None),
    (endless_operation, None),
    (noise, True),
    (cut, False),
    (gone, True),
]


def packet(payload):
    """A packet in clear."""
    pad = -(5 + len(payload)) % 8 + 8
    return struct.pack(">IB", 1 + len(payload) + pad, pad) + payload + bytes(pad)


def lists(length):
    body = bytes([20]) + bytes(16) + struct.pack(">I", length) + b"x" * length
    return packet(body + bytes(4) * 9 + bytes(5))


# What strangers say instead of a login.
HELLO = b"SSH-2.0-x\r\n"
STRANGERS = {
    "no line end": b"SSH-2.0-" + b"x" * 2_000_000,
    "lines": b"hello\r\n" * 100_000,
    "a long packet": HELLO + b"\xff\xff\xff\xff" + bytes(2_000_000),
    "a long list": HELLO + lists(60_000),
    "noise": HELLO + os.urandom(100_000),
    "a cut packet": HELLO + lists(100)[:50],
    "ignored": HELLO + packet(bytes([IGNORE]) + bytes(1004)) * 2000,
}


async def stranger(port, data):
    """Whether weir ends the connection, within a moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for start in range(0, len(data), 65536):
            writer.write(data[start : start + 65536])
            await asyncio.wait_for(writer.drain(), 5)
        await asyncio.wait_for(reader.read(-1), 3)
        return True
    except ConnectionError:
        return True
    except asyncio.TimeoutError:
        return False
    finally:
        writer.transport.abort()


async def peak(name):
    """Says that a scenario is at its worst, and waits to go on."""
    print(name.replace("_", " "), flush=True)
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    assert line, "nobody reads any more"


async def ends(conn, name, expected):
    if expected is None:
        return
    try:
        await asyncio.wait_for(conn.wait_closed(), 20 if expected else 0.3)
        over = True
    except asyncio.TimeoutError:
        over = False
    assert over == expected, f"{name}: the connection {'ended' if over else 'goes on'}"


async def connected(port, user, key):
    return await asyncssh.connect(
        "127.0.0.1", port, username=user, client_keys=[key], known_hosts=None, config=None
    )


async def hostile_clients(port, user, key):
    for name, data in STRANGERS.items():
        over = await stranger(port, data)
        assert over != (name in ("a cut packet", "ignored")), f"{name}: {over}"
        await peak(f"stranger: {name}")
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(60)]
    await peak("strangers who say nothing")
    for _, writer in idle:
        writer.transport.abort()
    for scenario, expected in CLIENTS:
        conn = await connected(port, user, key)
        peer = Peer(conn)
        try:
            await asyncio.wait_for(scenario(peer), 60)
        except (ConnectionError, asyncssh.Error, AttributeError) as error:
            # The connection ended under its hands.
            assert expected is not False, f"{scenario.__name__}: {error!r}"
        await peak(scenario.__name__)
        await ends(conn, scenario.__name__, expected)
        conn.abort()


# --- hostile targets -----------------------------------------------------------------------------


async def confirmed(peer, window=2 << 20, packet=32768):
    """Confirms the session that weir asks for; the client's number for it."""
    number = peer.opened
    peer.post(CONFIRM, UInt32(number), UInt32(5), UInt32(window), UInt32(packet))
    return number


async def after_exec(peer):
    channel = await confirmed(peer)
    await peer.wait(REQUEST)
    peer.post(SUCCESS, UInt32(channel))
    return channel


async def target_ignores(peer):
    await peer.flood(lambda _: (IGNORE, String(bytes(1000))))


async def target_pings(peer):
    peer.deafen()
    await peer.flood(lambda _: (PING, String(bytes(1000))))


async def target_unknown(peer):
    peer.deafen()
    await peer.flood(lambda _: (199, String(bytes(100))))


async def target_opens(peer):
    await confirmed(peer)
    peer.deafen()
    fields = (UInt32(1 << 31), UInt32(32768), String("x" * 1000), UInt32(1), String(""), UInt32(1))
    await peer.flood(lambda n: (OPEN, String("forwarded-tcpip"), UInt32(n + 9), *fields))


async def target_globals(peer):
    await confirmed(peer)
    await peer.flood(lambda _: (GLOBAL, String("keepalive@openssh.com"), Boolean(True)))


async def target_host_keys(peer):
    await confirmed(peer)
    name = String("hostkeys-00@openssh.com")
    await peer.flood(lambda _: (GLOBAL, name, Boolean(False), String(bytes(1000))))


async def target_early_data(peer):
    peer.post(DATA, UInt32(peer.opened), String("early"))


async def target_late_data(peer):
    channel = await after_exec(peer)
    peer.post(CLOSE, UInt32(channel))
    peer.post(DATA, UInt32(channel), String("late"))


async def target_two_confirmations(peer):
    await confirmed(peer)
    await confirmed(peer)


async def target_oversize(peer):
    channel = await after_exec(peer)
    peer.post(DATA, UInt32(channel), String(bytes(32769)))


async def target_beyond_window(peer):
    channel = await after_exec(peer)
    for _ in range(200):
        peer.post(DATA, UInt32(channel), String(bytes(32768)))


async def target_adjusts(peer):
    channel = await after_exec(peer)
    await peer.flood(lambda _: (ADJUST, UInt32(channel), UInt32(1)))


async def target_huge_adjusts(peer):
    channel = await after_exec(peer)
    for _ in range(3):
        peer.post(ADJUST, UInt32(channel), UInt32(0xFFFFFFFF))


async def target_successes(peer):
    channel = await after_exec(peer)
    for _ in range(3):
        peer.post(SUCCESS, UInt32(channel))


async def target_statuses(peer):
    channel = await after_exec(peer)
    name = String("exit-status")
    await peer.flood(lambda n: (REQUEST, UInt32(channel), name, Boolean(False), UInt32(n % 255)))


async def target_questions(peer):
    channel = await after_exec(peer)
    await peer.flood(lambda _: (REQUEST, UInt32(channel), String("x" * 1000), Boolean(True)))


async def target_rekeys(peer):
    await confirmed(peer)
    await rekeys(peer)


async def target_noise(peer):
    await after_exec(peer)
    peer.raw(os.urandom(100_000))


async def target_long_packet(peer):
    peer.post(IGNORE, String(bytes(300_000)))


async def target_gone(peer):
    await after_exec(peer)
    peer.conn._transport.abort()


async def target_silent(peer):
    peer.deafen()
    await asyncio.sleep(FLOOD_S)


async def target_names(peer):
    channel = await after_exec(peer)
    await peer.flood(
        lambda _: (REQUEST, UInt32(channel), String("x" * 200_000), Boolean(False)), FLOOD_S / 2
    )


TARGETS = {
    scenario.__name__.replace("_", "-"): (scenario, expected)
    for scenario, expected in [
        (target_ignores, False),
        (target_pings, False),
        (target_unknown, False),
        (target_opens, None),
        (target_globals, None),
        (target_host_keys, False),
        (target_early_data, True),
        (target_late_data, True),
        (target_two_confirmations, True),
        (target_oversize, True),
        (target_beyond_window, True),
        (target_adjusts, False),
        (target_huge_adjusts, True),
        (target_successes, True),
        (target_statuses, None),
        (target_questions, None),
        (target_rekeys, True),
        (target_noise, True),
        (target_long_packet, True),
        (target_gone, True),
        (target_silent, False),
        (target_names, None),
    ]
}


class Server(asyncssh.SSHServer):
    """A target that lets weir in and then does what the role says."""

    done = None

    def connection_made(self, conn):
        self.conn = conn

    def begin_auth(self, username):
        self.scenario = username
        return True

    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return True

    def auth_completed(self):
        Server.done = asyncio.ensure_future(self.act())

    async def act(self):
        peer = Peer(self.conn)
        scenario, _ = TARGETS[self.scenario]
        opened = await peer.wait(OPEN)
        opened.get_string()
        peer.opened = opened.get_uint32()
        try:
            await scenario(peer)
        except (ConnectionError, asyncssh.Error, AttributeError):
            # The connection ended under its hands.
            pass


async def hostile_target(port, key, own_port, host):
    server = await asyncssh.listen(
        "127.0.0.1", own_port, server_factory=Server, server_host_keys=[host]
    )
    for name, (_, expected) in TARGETS.items():
        conn = await connected(port, f"{name}@evil", key)
        client = asyncio.ensure_future(conn.run("anything"))
        client.add_done_callback(lambda done: done.cancelled() or done.exception())
        until = time.monotonic() + 20
        while Server.done is None and time.monotonic() < until:
            await asyncio.sleep(0.02)
        await asyncio.wait_for(Server.done, 60)
        Server.done = None
        await peak(name)
        await ends(conn, name, expected)
        client.cancel()
        conn.abort()
    server.close()


# --- peers without strict key exchange ---------------------------------------------------------


def forget_strictness():
    connection = asyncssh.connection.SSHConnection
    connection._get_extra_kex_algs = lambda _: []
    # It would believe in its own offer.
    connection._strict_kex = property(lambda _: False, lambda *_: None)


async def lax(port, user, key):
    forget_strictness()
    conn = await asyncssh.connect(
        "127.0.0.1",
        port,
        username=user,
        client_keys=[key],
        known_hosts=None,
        config=None,
        encryption_algs=["chacha20-poly1305@openssh.com"],
    )
    print((await conn.run("echo in")).stdout, end="")


async def lax_target(own_port, host):
    forget_strictness()

    async def answer(process):
        process.stdout.write("from the target\n")
        process.exit(0)

    class Open(asyncssh.SSHServer):
        def begin_auth(self, username):
            return False

    await asyncssh.listen(
        "127.0.0.1",
        own_port,
        server_factory=Open,
        server_host_keys=[host],
        process_factory=answer,
        encryption_algs=["chacha20-poly1305@openssh.com"],
    )
    await asyncio.sleep(3600)


def main(mode, *rest):
    if mode == "client":
        port, user, key = rest
        asyncio.run(hostile_clients(int(port), user, key))
    elif mode == "target":
        port, key, own_port, host = rest
        asyncio.run(hostile_target(int(port), key, int(own_port), host))
    elif mode == "lax":
        port, user, key = rest
        asyncio.run(lax(int(port), user, key))
    elif mode == "lax-target":
        own_port, host = rest
        asyncio.run(lax_target(int(own_port), host))
    else:
        sys.exit(f"unknown mode {mode}")


main(*sys.argv[1:])
