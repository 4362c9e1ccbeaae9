"""A PostgreSQL client that hides nothing: frames as bytes, sent in any pieces, over TCP or TLS."""

import base64
import hashlib
import hmac
import os
import select
import socket
import ssl
import struct
import time

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSS_REQUEST = struct.pack("!ii", 8, 80877104)
CANCEL_CODE = 80877102
# Longer than any answer takes on a busy machine; a script that waits for nothing fails here.
PATIENCE_S = 8.0


class Endpoint:
    """Where to connect, and as whom: `host=.. port=.. user=.. password=.. dbname=..`."""

    def __init__(self, text, authority=None):
        fields = dict(part.split("=", 1) for part in text.split())
        self.host, self.port = fields.get("host", "127.0.0.1"), int(fields["port"])
        self.user, self.password = fields["user"], fields["password"]
        self.dbname = fields["dbname"]
        self.authority = authority

    def startup(self, params):
        """A StartupMessage of protocol 3.0 with the user and the database of this endpoint."""
        own = [("user", self.user), ("database", self.dbname)]
        return packet(struct.pack("!i", 196608) + strings(own + list(params)))

    def tls(self):
        context = ssl.create_default_context(cafile=self.authority)
        context.set_alpn_protocols(["postgresql"])
        return context


def message(tag, body):
    return tag + struct.pack("!I", len(body) + 4) + body


def packet(body):
    return struct.pack("!I", len(body) + 4) + body


def strings(pairs):
    flat = [part for pair in pairs for part in pair]
    encoded = [part.encode() if isinstance(part, str) else part for part in flat]
    return b"".join(part + b"\0" for part in encoded) + b"\0"


class Tls:
    """TLS over a socket that is read and written by turns, without a thread."""

    def __init__(self, context, host):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host)

    def encrypt(self, data):
        self.object.write(data)
        return self.outgoing.read()

    def decrypt(self, data):
        """Plain bytes, and whether the peer said good-bye."""
        self.incoming.write(data)
        plain = b""
        try:
            while piece := self.object.read(65536):
                plain += piece
            return plain, True
        except ssl.SSLWantReadError:
            return plain, False
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return plain, True


class Connection:
    """One connection: what was heard is a list of `(tag, body)`; single bytes have the tag ''."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.socket = socket.create_connection((endpoint.host, endpoint.port), PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.tls = None
        self.heard, self.cursor, self.buffer = [], 0, b""
        self.ended = None
        self.key = b""

    # --- bytes ------------------------------------------------------------------------------------

    def send(self, data, piece=None):
        """Sends in pieces of so many bytes, and hears meanwhile: a peer that is not read stops."""
        size = piece or max(len(data), 1)
        for start in range(0, len(data), size):
            part = data[start : start + size]
            self.push(self.tls.encrypt(part) if self.tls else part)

    def push(self, data):
        limit = time.monotonic() + PATIENCE_S
        while data and self.ended is None:
            if time.monotonic() > limit:
                raise TimeoutError("the server takes no bytes")
            readable, writable, _ = select.select([self.socket], [self.socket], [], 1)
            if readable:
                self.take()
            if writable and self.ended is None:
                try:
                    data = data[self.socket.send(data) :]
                except BlockingIOError:
                    pass
                except OSError:
                    # What it still has to say is heard by the next read.
                    return

    def take(self):
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            self.ended = "closed"
            return
        if not data:
            self.ended = "closed"
            return
        if self.tls:
            data, closed = self.tls.decrypt(data)
            self.ended = "closed" if closed else None
        self.buffer += data
        self.cut()

    def cut(self):
        while len(self.buffer) >= 5:
            (length,) = struct.unpack("!I", self.buffer[1:5])
            if length < 4:
                raise ValueError(f"the server states the length {length}")
            if len(self.buffer) <= length:
                return
            tag, body = self.buffer[:1], self.buffer[5 : length + 1]
            self.buffer = self.buffer[length + 1 :]
            if tag == b"K":
                self.key = body
            self.heard.append((tag, body))

    def hear(self, done, limit_s=PATIENCE_S):
        """Hears until `done()` or the end of the stream; False when neither came in time."""
        limit = time.monotonic() + limit_s
        while not done():
            if self.ended is not None:
                return True
            wait = limit - time.monotonic()
            if wait <= 0:
                return False
            if select.select([self.socket], [], [], wait)[0]:
                self.take()
        return True

    def hear_tag(self, tag, count=1):
        """Hears `count` more messages of a type. Each is waited for once."""

        def found():
            nonlocal count
            while count and self.cursor < len(self.heard):
                count -= self.heard[self.cursor][0] == tag
                self.cursor += 1
            return count == 0

        return self.hear(found) and count == 0

    def hear_byte(self):
        """One byte that is no message: the answer to SSLRequest or GSSENCRequest."""
        limit = time.monotonic() + PATIENCE_S
        while self.ended is None and time.monotonic() < limit:
            select.select([self.socket], [], [], 1)
            try:
                byte = self.socket.recv(1)
            except BlockingIOError:
                continue
            except OSError:
                byte = b""
            if not byte:
                self.ended = "closed"
                return b""
            self.heard.append((b"", byte))
            self.cursor = len(self.heard)
            return byte
        return b""

    def finish(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.socket.close()

    # --- logins -----------------------------------------------------------------------------------

    def start_tls(self):
        tls = Tls(self.endpoint.tls(), "localhost")
        limit = time.monotonic() + PATIENCE_S
        while True:
            try:
                tls.object.do_handshake()
                self.push(tls.outgoing.read())
                break
            except ssl.SSLWantReadError:
                self.push(tls.outgoing.read())
            if time.monotonic() > limit:
                raise TimeoutError("the TLS handshake does not end")
            select.select([self.socket], [], [], 1)
            try:
                data = self.socket.recv(1 << 16)
            except BlockingIOError:
                continue
            if not data:
                raise ConnectionError("closed during the TLS handshake")
            tls.incoming.write(data)
        self.tls = tls

    def login(self, params=(), tls=False):
        if tls:
            self.send(SSL_REQUEST)
            if self.hear_byte() != b"S":
                raise ConnectionError("the server has no TLS")
            self.start_tls()
            self.heard.clear()
            self.cursor = 0
        self.send(self.endpoint.startup(params))
        self.authenticate()
        self.hear(lambda: any(tag in (b"Z", b"E") for tag, _ in self.heard[self.cursor :]))
        self.cursor = len(self.heard)

    def authenticate(self):
        """Answers what the server asks until AuthenticationOk, and forgets the exchange."""
        first = None
        while True:
            self.hear(lambda: any(tag in (b"R", b"E") for tag, _ in self.heard))
            asked = [item for item in self.heard if item[0] in (b"R", b"E")]
            if not asked or asked[0][0] == b"E":
                return
            self.heard.remove(asked[0])
            body = asked[0][1]
            (kind,) = struct.unpack("!i", body[:4])
            if kind == 0:
                return
            if kind == 10:
                nonce = base64.b64encode(os.urandom(18)).decode()
                first = f"n=,r={nonce}"
                data = b"n,," + first.encode()
                head = b"SCRAM-SHA-256\0" + struct.pack("!i", len(data))
                self.send(message(b"p", head + data))
            elif kind == 11:
                self.send(message(b"p", self.proof(first, body[4:].decode()).encode()))
            elif kind == 12:
                continue
            else:
                raise ConnectionError(f"an authentication this client does not know: {kind}")

    def proof(self, first, challenge):
        """The client's last message of SCRAM-SHA-256 (RFC 5802) without channel binding."""
        parts = dict(part.split("=", 1) for part in challenge.split(","))
        salt, rounds = base64.b64decode(parts["s"]), int(parts["i"])
        salted = hashlib.pbkdf2_hmac("sha256", self.endpoint.password.encode(), salt, rounds)
        client = hmac.digest(salted, b"Client Key", "sha256")
        last = f"c=biws,r={parts['r']}"
        signed = f"{first},{challenge},{last}".encode()
        signature = hmac.digest(hashlib.sha256(client).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(client, signature))
        return f"{last},p={base64.b64encode(proof).decode()}"

    def cancel(self):
        """Asks for a cancel as libpq does: a connection of its own, heard to its end."""
        request = struct.pack("!ii", 8 + len(self.key), CANCEL_CODE) + self.key
        place = (self.endpoint.host, self.endpoint.port)
        with socket.create_connection(place, PATIENCE_S) as other:
            other.sendall(request)
            while other.recv(1024):
                pass
