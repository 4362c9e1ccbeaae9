"""Requests of HTTP/2 that are malformed (RFC 9113 8), or would be once they are written as h1."""
import base64

import hpack

from ambiguous_h1 import EITHER, ONE, REFUSED

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload):
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
            + payload)


def block(pairs):
    """Literals that no table keeps: nothing is checked by whoever writes them."""
    def text(value):
        if len(value) < 127:
            return bytes([len(value)]) + value
        return b"\x7f" + varint(len(value) - 127) + value
    return b"".join(b"\0" + text(name) + text(value) for name, value in pairs)


def varint(value):
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


class Case2:
    def __init__(self, name, expect, pairs, content=None, trailers=None):
        self.name, self.expect, self.pairs = name, expect, pairs
        self.content, self.trailers = content, trailers
        self.data = self.bytes("c0-x-y", "127.0.0.1", "a:b")

    def bytes(self, name, address, login):
        auth = b"Basic " + base64.b64encode(login.encode())

        def filled(value):
            return (value.replace(b"PATH", b"/told/" + name.encode())
                    .replace(b"HOST", address.encode()).replace(b"AUTH", auth))
        pairs = [(filled(key), filled(value)) for key, value in self.pairs]
        bare = self.content is None and self.trailers is None
        out = PREFACE + frame(SETTINGS, 0, 0, b"")
        out += frame(HEADERS, END_HEADERS | (END_STREAM if bare else 0), 1, block(pairs))
        if self.content is not None:
            out += frame(DATA, 0 if self.trailers else END_STREAM, 1, self.content)
        if self.trailers is not None:
            out += frame(HEADERS, END_HEADERS | END_STREAM, 1, block(self.trailers))
        # Asks for nothing that a target gets; its answer says that the connection goes on.
        return out + frame(HEADERS, END_HEADERS | END_STREAM, 3, block(
            [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/told/beside"),
             (b":authority", filled(b"HOST"))]))

    def common(self, data):
        """Cuts in frames are h2spec's and weir's own tests'; here a few show that none matters."""
        return max(0, len(data) - 40)


async def heard(reader):
    """The status on stream 1, 400 if it was reset, and 0 if stream 3 gets no answer: a request that
    is refused ends no other."""
    decoder, status, beside = hpack.Decoder(), [], False
    try:
        while not (status and beside):
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            kind, stream = head[3], int.from_bytes(head[5:9], "big")
            if kind == GOAWAY:
                break
            if kind == RST_STREAM and stream == 1:
                status = status or [400]
            if kind != HEADERS:
                continue
            fields = dict(decoder.decode(payload))
            if stream == 1 and ":status" in fields:
                status = status or [int(fields[":status"])]
            beside = beside or stream == 3
    except (EOFError, OSError):
        pass
    return status if beside else [*status, 0]


def h2_cases():
    first = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"PATH"),
             (b":authority", b"HOST"), (b"authorization", b"AUTH")]

    def instead(name, value):
        return [(key, value if key == name else old) for key, old in first]

    def without(name):
        return [pair for pair in first if pair[0] != name]

    post = instead(b":method", b"POST")
    for name, expect, pairs in [
        ("a plain one", ONE, first),
        ("cookies in crumbs", ONE, [*first, (b"cookie", b"a=1"), (b"cookie", b"b=2")]),
        ("te: trailers", ONE, [*first, (b"te", b"trailers")]),
        ("host as authority", ONE, [*first, (b"host", b"HOST")]),
        ("capitals in a name", REFUSED, [*first, (b"X-Own", b"y")]),
        ("blank before a value", REFUSED, [*first, (b"x", b" y")]),
        ("blank behind a value", REFUSED, [*first, (b"x", b"y ")]),
        ("CR in a value", REFUSED, [*first, (b"x", b"a\rb")]),
        ("LF in a value", REFUSED, [*first, (b"x", b"a\nb")]),
        ("a field in a value", REFUSED, [*first, (b"x", b"a\r\ntransfer-encoding: chunked")]),
        ("NUL in a value", REFUSED, [*first, (b"x", b"a\0b")]),
        ("DEL in a value", REFUSED, [*first, (b"x", b"a\x7fb")]),
        ("no name", REFUSED, [*first, (b"", b"y")]),
        ("blank in a name", REFUSED, [*first, (b"a b", b"y")]),
        ("colon in a name", REFUSED, [*first, (b"a:b", b"y")]),
        ("a field in a name", REFUSED, [*first, (b"a: b\r\nc", b"y")]),
        ("NUL in a name", REFUSED, [*first, (b"a\0", b"y")]),
        ("UTF-8 in a name", REFUSED, [*first, ("\u00e4".encode(), b"y")]),
        ("a pseudo-header behind", REFUSED, [*first, (b":path", b"/other")]),
        ("the path twice", REFUSED, [first[2], *first]),
        ("the method twice", REFUSED, [(b":method", b"POST"), *first]),
        ("authority twice", REFUSED, [first[3], *first]),
        ("scheme twice", REFUSED, [first[1], *first]),
        ("an unknown pseudo-header", REFUSED, [(b":own", b"y"), *first]),
        (":status", REFUSED, [(b":status", b"200"), *first]),
        ("no method", REFUSED, without(b":method")),
        ("no scheme", REFUSED, without(b":scheme")),
        ("no path", REFUSED, without(b":path")),
        ("no authority", REFUSED, without(b":authority")),
        ("host without authority", REFUSED, [*without(b":authority"), (b"host", b"HOST")]),
        ("another host", REFUSED, [*first, (b"host", b"other.test")]),
        ("two hosts", REFUSED, [*first, (b"host", b"HOST"), (b"host", b"HOST")]),
        ("another scheme", REFUSED, instead(b":scheme", b"https")),
        ("a user in the authority", REFUSED, instead(b":authority", b"a@HOST")),
        ("two authorities", REFUSED, instead(b":authority", b"HOST,other.test")),
        ("an empty path", REFUSED, instead(b":path", b"")),
        ("a path without slash", REFUSED, instead(b":path", b"told")),
        ("an absolute path", REFUSED, instead(b":path", b"http://HOSTPATH")),
        ("a fragment", REFUSED, instead(b":path", b"PATH#x")),
        ("blank in the path", REFUSED, instead(b":path", b"PATH x")),
        ("a request in the path", REFUSED,
         instead(b":path", b"PATH HTTP/1.1\r\nHost: x\r\n\r\nGET /told/x")),
        ("UTF-8 in the path", REFUSED, instead(b":path", "PATH\u00e4".encode())),
        ("a star for GET", REFUSED, instead(b":path", b"*")),
        ("a request in the method", REFUSED, instead(b":method", b"GET PATH HTTP/1.1\r\nX: y")),
        ("blank in the method", REFUSED, instead(b":method", b"GE T")),
        ("small letters", REFUSED, instead(b":method", b"get")),
        ("TRACE", REFUSED, instead(b":method", b"TRACE")),
        ("CONNECT", REFUSED, instead(b":method", b"CONNECT")),
        ("connection", REFUSED, [*first, (b"connection", b"close")]),
        ("keep-alive", REFUSED, [*first, (b"keep-alive", b"timeout=5")]),
        ("proxy-connection", REFUSED, [*first, (b"proxy-connection", b"close")]),
        ("upgrade", REFUSED, [*first, (b"upgrade", b"websocket")]),
        ("te: gzip", REFUSED, [*first, (b"te", b"gzip")]),
        ("transfer-encoding", REFUSED, [*first, (b"transfer-encoding", b"chunked")]),
        ("transfer_encoding", REFUSED, [*first, (b"transfer_encoding", b"chunked")]),
        ("x_forwarded_for", REFUSED, [*first, (b"x_forwarded_for", b"10.0.0.1")]),
        ("another method", REFUSED, [*first, (b"x-http-method-override", b"DELETE")]),
        ("two logins", REFUSED, [*first, (b"authorization", b"Basic YTpi")]),
        ("130 fields", REFUSED, [*first, *[(b"x", b"y")] * 130]),
        ("130 crumbs", REFUSED, [*first, *[(b"cookie", b"a=1")] * 130]),
        ("a length and nothing", REFUSED, [*first, (b"content-length", b"5")]),
    ]:
        yield Case2(f"h2, {name}", expect, pairs)
    for name, expect, more, content, trailers in [
        ("content", ONE, [], b"hello", None),
        ("content of its length", ONE, [(b"content-length", b"5")], b"hello", None),
        ("less than the length", REFUSED, [(b"content-length", b"6")], b"hello", None),
        ("more than the length", REFUSED, [(b"content-length", b"4")], b"hello", None),
        ("a length twice", REFUSED, [(b"content-length", b"5")] * 2, b"hello", None),
        ("+5", REFUSED, [(b"content-length", b"+5")], b"hello", None),
        ("5, 5", REFUSED, [(b"content-length", b"5, 5")], b"hello", None),
        ("a request as content", ONE, [], b"0\r\n\r\nGET /told/hidden HTTP/1.1\r\nHost: x\r\n\r\n",
         None),
        ("trailers", ONE, [], b"hello", [(b"x-own", b"y")]),
        ("pseudo-headers in trailers", REFUSED, [], b"hello", [(b":path", b"/x")]),
        ("capitals in trailers", REFUSED, [], b"hello", [(b"X", b"y")]),
        ("a line end in trailers", REFUSED, [], b"hello", [(b"x", b"a\r\nb: c")]),
        ("a length in trailers", EITHER, [], b"hello", [(b"content-length", b"50")]),
        ("a coding in trailers", EITHER, [], b"hello", [(b"transfer-encoding", b"chunked")]),
    ]:
        yield Case2(f"h2, {name}", expect, [*post, *more], content, trailers)
