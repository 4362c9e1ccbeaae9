"""Says who a client of HTTP/2 is that cannot: a field more in the first HEADERS of each stream.

    python h2_login.py PORT TLS_PORT USER:PASSWORD CERTIFICATE_AND_KEY

It speaks TLS on both sides.

Everything else passes as it came, mistakes too. The field is a literal that no table keeps
(RFC 7541 6.2.3), so the client's own tables stay right.
"""
import asyncio
import base64
import ssl
import sys

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, CONTINUATION = 1, 9
END_HEADERS, PADDED = 4, 8
FRAME_BYTES_MAX = 16384


def literal(value):
    """authorization is entry 23 of the static table."""
    assert len(value) < 127, "a short login"
    return bytes([0x1F, 23 - 15, len(value)]) + value


class Adder:
    def __init__(self, field):
        self.field, self.seen, self.kept, self.raw, self.open = field, set(), b"", None, None

    def feed(self, data):
        self.kept += data
        if self.raw is None:
            if not PREFACE.startswith(self.kept[:len(PREFACE)]):
                self.raw = True
            elif len(self.kept) >= len(PREFACE):
                self.raw = False
                self.kept = self.kept[len(PREFACE):]
                return PREFACE + self.feed(b"")
        if self.raw is not False:
            out, self.kept = (self.kept, b"") if self.raw else (b"", self.kept)
            return out
        out = b""
        while len(self.kept) >= 9:
            length = int.from_bytes(self.kept[:3], "big")
            if length > 1 << 20 or len(self.kept) < 9 + length:
                break
            out += self.frame(self.kept[:9 + length])
            self.kept = self.kept[9 + length:]
        return out

    def frame(self, frame):
        kind, flags, stream = frame[3], frame[4], int.from_bytes(frame[5:9], "big")
        if kind == HEADERS:
            first, self.open = stream not in self.seen, None
            self.seen.add(stream)
            if not first:
                return frame
            if not flags & END_HEADERS:
                self.open = stream
                return frame
        elif kind != CONTINUATION or stream != self.open or not flags & END_HEADERS:
            return frame
        self.open = None
        payload, padding = frame[9:], 0
        if kind == HEADERS and flags & PADDED:
            padding = payload[0] if payload else 0
            if padding + 1 > len(payload):
                return frame
        end = len(payload) - padding
        payload = payload[:end] + self.field + payload[end:]
        if len(payload) > FRAME_BYTES_MAX:
            return frame
        return len(payload).to_bytes(3, "big") + frame[3:9] + payload

    def rest(self):
        """What never became a frame."""
        return self.kept


async def copy(reader, writer, adder):
    try:
        while data := await reader.read(65536):
            writer.write(adder.feed(data) if adder else data)
            await writer.drain()
        if adder:
            writer.write(adder.rest())
        if writer.can_write_eof():
            return writer.write_eof()
    except OSError:
        pass
    writer.close()


async def serve(reader, writer):
    there, back = await asyncio.open_connection("127.0.0.1", TARGET, ssl=TLS)
    await asyncio.gather(copy(reader, back, Adder(FIELD)), copy(there, writer, None))
    for end in (writer, back):
        end.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT, ssl=OWN)
    await server.serve_forever()


PORT, TARGET, LOGIN = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
FIELD = literal(b"Basic " + base64.b64encode(LOGIN.encode()))
TLS = ssl.create_default_context()
TLS.check_hostname, TLS.verify_mode = False, ssl.CERT_NONE
OWN = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
OWN.load_cert_chain(sys.argv[4])
for context in (TLS, OWN):
    context.set_alpn_protocols(["h2"])
asyncio.run(main())
