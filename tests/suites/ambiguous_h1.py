"""Requests of HTTP/1.1 that two servers could read differently, and some that they could not."""
import base64

# CUT: it ends before it is whole, so that nobody needs an answer.
REFUSED, ONE, TWO, EITHER, CUT = "refused", "one", "two", "refused or one", "cut"


class Case:
    """PATH, HOST and AUTH in the bytes stand for what is sent; AUTH is a whole line."""

    def __init__(self, name, expect, data):
        self.name, self.expect, self.data = name, expect, data

    def bytes(self, name, address, login):
        auth = b"Authorization: Basic " + base64.b64encode(login.encode()) + b"\r\n"
        return (self.data.replace(b"PATH", b"/told/" + name.encode())
                .replace(b"HOST", address.encode()).replace(b"AUTH", auth))

    def common(self, data):
        """How many bytes all of them begin with: no cut there tells anything new."""
        start = data.find(b"Authorization: ")
        plain = self.data.startswith((b"POST PATH HTTP/1.1\r\nHost: HOST\r\nAUTH",
                                      b"GET PATH HTTP/1.1\r\nHost: HOST\r\nAUTH"))
        return data.find(b"\r\n", start) if plain else 0


START = b"POST PATH HTTP/1.1\r\nHost: HOST\r\nAUTH"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HIDDEN = b"GET PATH HTTP/1.1\r\nHost: HOST\r\nAUTH\r\n"


def lines():
    """Request lines (http.md 2.1.3 to 2.1.5)."""
    rest = b"\r\nHost: HOST\r\nAUTH\r\n"
    for name, expect, line in [
        ("a plain one", ONE, b"GET PATH HTTP/1.1"),
        ("query", ONE, b"GET PATH?a=b&c=%20 HTTP/1.1"),
        ("version 1.2", REFUSED, b"GET PATH HTTP/1.2"),
        ("version 2.0", REFUSED, b"GET PATH HTTP/2.0"),
        ("version 1.10", REFUSED, b"GET PATH HTTP/1.10"),
        ("version 01.1", REFUSED, b"GET PATH HTTP/01.1"),
        ("version in small letters", REFUSED, b"GET PATH http/1.1"),
        ("no version", REFUSED, b"GET PATH"),
        ("blank behind the version", REFUSED, b"GET PATH HTTP/1.1 "),
        ("two blanks", REFUSED, b"GET  PATH HTTP/1.1"),
        ("two blanks before the version", REFUSED, b"GET PATH  HTTP/1.1"),
        ("a tab", REFUSED, b"GET\tPATH HTTP/1.1"),
        ("a blank first", REFUSED, b" GET PATH HTTP/1.1"),
        ("a third word", REFUSED, b"GET PATH x HTTP/1.1"),
        ("CR in the line", REFUSED, b"GET PATH\r HTTP/1.1"),
        ("NUL in the line", REFUSED, b"GET PATH\0 HTTP/1.1"),
        ("small letters", REFUSED, b"get PATH HTTP/1.1"),
        ("TRACE", REFUSED, b"TRACE PATH HTTP/1.1"),
        ("CONNECT", REFUSED, b"CONNECT HOST:80 HTTP/1.1"),
        ("PRI", REFUSED, b"PRI * HTTP/1.1"),
        ("a method of 33", REFUSED, b"M" * 33 + b" PATH HTTP/1.1"),
        ("a method that is no token", REFUSED, b"GE(T PATH HTTP/1.1"),
        ("no method", REFUSED, b" PATH HTTP/1.1"),
        ("absolute", ONE, b"GET http://HOSTPATH HTTP/1.1"),
        ("absolute, another host", REFUSED, b"GET http://other.testPATH HTTP/1.1"),
        ("absolute, a user in it", REFUSED, b"GET http://a@HOSTPATH HTTP/1.1"),
        ("absolute, another scheme", EITHER, b"GET ftp://HOSTPATH HTTP/1.1"),
        ("a star for GET", REFUSED, b"GET * HTTP/1.1"),
        ("no slash", REFUSED, b"GET told HTTP/1.1"),
        ("a fragment", REFUSED, b"GET PATH#x HTTP/1.1"),
        ("UTF-8 as it is", REFUSED, "GET PATH\u00e4 HTTP/1.1".encode()),
        ("a quote", REFUSED, b"GET PATH\" HTTP/1.1"),
        ("angle brackets", REFUSED, b"GET PATH<> HTTP/1.1"),
        ("a backslash", REFUSED, b"GET PATH\\x HTTP/1.1"),
        ("DEL", REFUSED, b"GET PATH\x7f HTTP/1.1"),
        ("dot segments", EITHER, b"GET PATH/../x HTTP/1.1"),
        ("escaped dot segments", EITHER, b"GET PATH/%2e%2e/x HTTP/1.1"),
        ("an escaped slash", EITHER, b"GET PATH%2fx HTTP/1.1"),
        ("an escaped NUL", EITHER, b"GET PATH%00 HTTP/1.1"),
        ("an escape that is none", EITHER, b"GET PATH%zz HTTP/1.1"),
        ("an overlong dot", EITHER, b"GET PATH/%c0%ae HTTP/1.1"),
        ("an escaped line end", EITHER, b"GET PATH%0d%0aX:%20y HTTP/1.1"),
        ("two slashes", EITHER, b"GET /PATH//x HTTP/1.1"),
        ("a parameter", EITHER, b"GET PATH;a=b/..;/x HTTP/1.1"),
        ("_method", REFUSED, b"POST PATH?_method=DELETE HTTP/1.1"),
        ("8 KiB", REFUSED, b"GET PATH?" + b"a" * 8200 + b" HTTP/1.1"),
    ]:
        yield Case(f"line, {name}", expect, line + rest)


def ends():
    """Line ends, empty lines, folded lines, hosts (2.1.1, 2.1.6)."""
    line = b"GET PATH HTTP/1.1"
    for name, expect, data in [
        ("LF behind the line", REFUSED, line + b"\nHost: HOST\r\nAUTH\r\n"),
        ("LF behind a field", REFUSED, line + b"\r\nHost: HOST\nAUTH\r\n"),
        ("LF for the empty line", REFUSED, line + b"\r\nHost: HOST\r\nAUTH\n"),
        ("LF LF", REFUSED, line + b"\r\nHost: HOST\r\nAUTHX: y\n\n"),
        ("CR behind the line", REFUSED, line + b"\rHost: HOST\r\nAUTH\r\n"),
        ("CR CR LF", REFUSED, line + b"\r\r\nHost: HOST\r\nAUTH\r\n"),
        ("an empty line first", EITHER, b"\r\n" + line + b"\r\nHost: HOST\r\nAUTH\r\n"),
        ("three empty lines first", REFUSED, b"\r\n" * 3 + line + b"\r\nHost: HOST\r\nAUTH\r\n"),
        ("LF first", REFUSED, b"\n" + line + b"\r\nHost: HOST\r\nAUTH\r\n"),
        ("a blank before the first field", REFUSED, line + b"\r\n Host: HOST\r\nAUTH\r\n"),
        ("a line of a blank first", REFUSED, line + b"\r\n \r\nHost: HOST\r\nAUTH\r\n"),
        ("folded", REFUSED, line + b"\r\nHost: HOST\r\nX: a\r\n b\r\nAUTH\r\n"),
        ("folded by a tab", REFUSED, line + b"\r\nHost: HOST\r\nX: a\r\n\tb\r\nAUTH\r\n"),
        ("a folded host", REFUSED, line + b"\r\nHost:\r\n HOST\r\nAUTH\r\n"),
        ("no host", REFUSED, line + b"\r\nAUTH\r\n"),
        ("an empty host", REFUSED, line + b"\r\nHost:\r\nAUTH\r\n"),
        ("two hosts", REFUSED, line + b"\r\nHost: HOST\r\nHost: other.test\r\nAUTH\r\n"),
        ("the host twice", REFUSED, line + b"\r\nHost: HOST\r\nHost: HOST\r\nAUTH\r\n"),
        ("two hosts in one", REFUSED, line + b"\r\nHost: HOST, other.test\r\nAUTH\r\n"),
        ("a host with a user", REFUSED, line + b"\r\nHost: a@HOST\r\nAUTH\r\n"),
        ("a host with a path", REFUSED, line + b"\r\nHost: HOST/x\r\nAUTH\r\n"),
        ("a host with a blank", REFUSED, line + b"\r\nHost: HOST x\r\nAUTH\r\n"),
        ("a host with a port", ONE, line + b"\r\nHost: HOST:80\r\nAUTH\r\n"),
        ("a host with a port that is none", REFUSED, line + b"\r\nHost: HOST:8x\r\nAUTH\r\n"),
        ("a host with a dot", EITHER, line + b"\r\nHost: HOST.\r\nAUTH\r\n"),
        ("1.0 without host", REFUSED, b"GET PATH HTTP/1.0\r\nAUTH\r\n"),
        ("1.0", ONE, b"GET PATH HTTP/1.0\r\nHost: HOST\r\nAUTH\r\n"),
        ("1.0, kept", ONE,
         b"GET PATH HTTP/1.0\r\nHost: HOST\r\nAUTHConnection: keep-alive\r\n\r\n"),
        ("1.0 in chunks", REFUSED,
         b"POST PATH HTTP/1.0\r\nHost: HOST\r\nAUTH" + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("0.9", CUT, b"GET PATH\r\n"),
    ]:
        yield Case(f"ends, {name}", expect, data)


def fields():
    """Fields without content (2.1.2, 2.1.8 to 2.1.10, 2.2.7, 2.2.9)."""
    for name, expect, more in [
        ("blank before the colon", REFUSED, b"X : y"),
        ("tab before the colon", REFUSED, b"X\t: y"),
        ("no colon", REFUSED, b"X"),
        ("no name", REFUSED, b": y"),
        ("no token", REFUSED, b"X(y): z"),
        ("a name in UTF-8", REFUSED, "X\u00e4: z".encode()),
        ("NUL in a name", REFUSED, b"X\0: z"),
        ("NUL in a value", REFUSED, b"X: a\0b"),
        ("CR in a value", REFUSED, b"X: a\rb"),
        ("VT in a value", REFUSED, b"X: a\x0bb"),
        ("DEL in a value", REFUSED, b"X: a\x7fb"),
        ("bytes above 127", EITHER, b"X: \xe4\xff"),
        ("an empty value", ONE, b"X:"),
        ("blanks around a value", ONE, b"X: \t y \t "),
        ("X_Forwarded_For", REFUSED, b"X_Forwarded_For: 10.0.0.1"),
        ("X.Forwarded.For", REFUSED, b"X.Forwarded.For: 10.0.0.1"),
        ("X-Forwarded-For", ONE, b"X-Forwarded-For: 10.0.0.1"),
        ("Transfer_Encoding", REFUSED, b"Transfer_Encoding: chunked"),
        ("Content_Length", REFUSED, b"Content_Length: 5"),
        ("another method", REFUSED, b"X-HTTP-Method-Override: DELETE"),
        ("X-Original-URL", ONE, b"X-Original-URL: /admin"),
        ("Connection names the host", REFUSED, b"Connection: host"),
        ("Connection names the length", REFUSED, b"Connection: close, Content-Length"),
        ("Connection names the login", REFUSED, b"Connection: authorization"),
        ("Connection names a field", ONE, b"Connection: x-own\r\nX-Own: y"),
        ("an expectation", REFUSED, b"Expect: a-miracle"),
        ("two expectations", REFUSED, b"Expect: 100-continue, x"),
        ("Upgrade: h2c", EITHER,
         b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
         b"HTTP2-Settings: AAMAAABkAAQAoAAA"),
        ("a WebSocket without a key", EITHER,
         b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"),
        ("130 fields", REFUSED, b"\r\n".join(b"X-%d: y" % at for at in range(130))),
        ("a value of 33 KiB", REFUSED, b"X: " + b"y" * 33 * 1024),
        ("two logins", REFUSED, b"Authorization: Basic YTpi"),
    ]:
        data = b"GET PATH HTTP/1.1\r\nHost: HOST\r\nAUTH" + more + b"\r\n\r\n"
        yield Case(f"field, {name}", expect, data)


def lengths():
    """How long content is said to be (2.2.1, 2.2.2)."""
    for name, expect, more, content in [
        ("a length", ONE, b"Content-Length: 5\r\n", b"hello"),
        ("chunks", ONE, CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"),
        ("none", ONE, b"", b""),
        ("length, then chunks", REFUSED, b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\nx"),
        ("chunks, then length", REFUSED, CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\nx"),
        ("lengths", REFUSED, b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hellox"),
        ("a length twice", REFUSED, b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"),
        ("a length twice in one", REFUSED, b"Content-Length: 5, 5\r\n", b"hello"),
        ("no length", REFUSED, b"Content-Length:\r\n", b"hello"),
        ("+5", REFUSED, b"Content-Length: +5\r\n", b"hello"),
        ("-5", REFUSED, b"Content-Length: -5\r\n", b"hello"),
        ("0x5", REFUSED, b"Content-Length: 0x5\r\n", b"hello"),
        ("5_0", REFUSED, b"Content-Length: 5_0\r\n", b"hello"),
        ("05", REFUSED, b"Content-Length: 05\r\n", b"hello"),
        ("5 5", REFUSED, b"Content-Length: 5 5\r\n", b"hello"),
        ("5;", REFUSED, b"Content-Length: 5;\r\n", b"hello"),
        ("5.0", REFUSED, b"Content-Length: 5.0\r\n", b"hello"),
        ("5e0", REFUSED, b"Content-Length: 5e0\r\n", b"hello"),
        ("2^63", REFUSED, b"Content-Length: 9223372036854775808\r\n", b"hello"),
        ("2^64 and 5", REFUSED, b"Content-Length: 18446744073709551621\r\n", b"hello"),
        ("5 in another script", REFUSED, "Content-Length: \u0665\r\n".encode(), b"hello"),
        ("blanks around 5", ONE, b"Content-Length: \t5 \r\n", b"hello"),
        ("more than comes", CUT, b"Content-Length: 50\r\n", b"hello"),
        ("xchunked", REFUSED, b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
        ("chunked, chunked", REFUSED, b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
        ("gzip, chunked", REFUSED, b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
        ("chunked, identity", REFUSED, b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
        ("identity", REFUSED, b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"),
        ("a parameter", REFUSED, b"Transfer-Encoding: chunked;q=1\r\n", b"0\r\n\r\n"),
        ("two codings", REFUSED, CHUNKED + b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"),
        ("the coding twice", REFUSED, CHUNKED + CHUNKED, b"0\r\n\r\n"),
        ("no coding", REFUSED, b"Transfer-Encoding:\r\n", b"0\r\n\r\n"),
        ("a comma", REFUSED, b"Transfer-Encoding: ,chunked\r\n", b"0\r\n\r\n"),
        ("quoted", REFUSED, b"Transfer-Encoding: \"chunked\"\r\n", b"0\r\n\r\n"),
        ("VT before chunked", REFUSED, b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"),
        ("NUL in chunked", REFUSED, b"Transfer-Encoding: chunked\0\r\n", b"0\r\n\r\n"),
        ("CHUNKED", ONE, b"Transfer-Encoding: CHUNKED\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
        ("tab before chunked", ONE, b"Transfer-Encoding:\tchunked\r\n", b"1\r\na\r\n0\r\n\r\n"),
        ("a folded coding", REFUSED, b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"),
        ("blank before its colon", REFUSED, b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"),
        ("CR before the coding", REFUSED, b"X: y\rTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        ("LF before the coding", REFUSED, b"X: y\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        ("a K that is another", REFUSED, "Transfer-Encoding: chun\u212aed\r\n".encode(),
         b"0\r\n\r\n"),
        ("100-continue", ONE, b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello"),
    ]:
        yield Case(f"length, {name}", expect, START + more + b"\r\n" + content)


def chunks():
    """Content in chunks (2.2.3, 2.2.4)."""
    for name, expect, content in [
        ("two", ONE, b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
        ("A", ONE, b"A\r\nhellohello\r\n0\r\n\r\n"),
        ("zeros before 5", ONE, b"0005\r\nhello\r\n0\r\n\r\n"),
        ("00 at the end", EITHER, b"5\r\nhello\r\n00\r\n\r\n"),
        ("17 digits", REFUSED, b"00000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("2^64 and 5", REFUSED, b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("2^63", REFUSED, b"8000000000000000\r\nhello\r\n0\r\n\r\n"),
        ("blank behind", REFUSED, b"5 \r\nhello\r\n0\r\n\r\n"),
        ("blank before", REFUSED, b" 5\r\nhello\r\n0\r\n\r\n"),
        ("+5", REFUSED, b"+5\r\nhello\r\n0\r\n\r\n"),
        ("-5", REFUSED, b"-5\r\nhello\r\n0\r\n\r\n"),
        ("0x5", REFUSED, b"0x5\r\nhello\r\n0\r\n\r\n"),
        ("5_", REFUSED, b"5_\r\nhello\r\n0\r\n\r\n"),
        ("no size", REFUSED, b"\r\nhello\r\n0\r\n\r\n"),
        ("an extension alone", REFUSED, b";a=b\r\nhello\r\n0\r\n\r\n"),
        ("LF behind the size", REFUSED, b"5\nhello\r\n0\r\n\r\n"),
        ("LF behind the data", REFUSED, b"5\r\nhello\n0\r\n\r\n"),
        ("CR CR LF", REFUSED, b"5\r\r\nhello\r\n0\r\n\r\n"),
        ("nothing behind the data", REFUSED, b"5\r\nhello0\r\n\r\n"),
        ("two bytes behind the data", REFUSED, b"5\r\nhelloXX0\r\n\r\n"),
        ("LF at the end", REFUSED, b"5\r\nhello\r\n0\r\n\n"),
        ("LF behind the last size", REFUSED, b"5\r\nhello\r\n0\n\r\n"),
        ("an extension", ONE, b"5;a=b;c\r\nhello\r\n0\r\n\r\n"),
        ("a quoted extension", ONE, b"5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"),
        ("LF in an extension", REFUSED, b"5;a\nhello\r\n0\r\n\r\n"),
        ("CR in an extension", REFUSED, b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
        ("NUL in an extension", REFUSED, b"5;a\0\r\nhello\r\n0\r\n\r\n"),
        ("line end in quotes", REFUSED, b"5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n"),
        ("a long extension", REFUSED, b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n"),
        ("extension behind a blank", EITHER, b"5 ;a=b\r\nhello\r\n0\r\n\r\n"),
        ("trailers", ONE, b"5\r\nhello\r\n0\r\nX-Own: y\r\n\r\n"),
        ("a length behind", EITHER, b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n"),
        ("a host behind", EITHER, b"5\r\nhello\r\n0\r\nHost: other.test\r\n\r\n"),
        ("trailers without a colon", REFUSED, b"5\r\nhello\r\n0\r\nX\r\n\r\n"),
        ("LF in trailers", REFUSED, b"5\r\nhello\r\n0\r\nX: y\n\r\n"),
        ("20 trailers", REFUSED, b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 20 + b"\r\n"),
        ("no end", CUT, b"5\r\nhello\r\n"),
    ]:
        yield Case(f"chunks, {name}", expect, START + CHUNKED + b"\r\n" + content)


def rows():
    """Several requests, or what could be taken for several (2.2.5, 2.2.10, 2.2.11)."""
    length = b"Content-Length: 120\r\n"
    hidden = b"GET /told/hidden HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 120
    for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"POST"):
        data = method + b" PATH HTTP/1.1\r\nHost: HOST\r\nAUTH" + length + b"\r\n" + hidden[:120]
        yield Case(f"row, a request as content of {method.decode()}", ONE, data)
    data = b"GET PATH HTTP/1.1\r\nHost: HOST\r\nAUTH" + CHUNKED + b"\r\n78\r\n" + hidden[:120]
    yield Case("row, a request as a chunk", ONE, data + b"\r\n0\r\n\r\n")
    yield Case("row, two", TWO, HIDDEN + HIDDEN)
    yield Case("row, one with content and one", TWO,
               START + b"Content-Length: 5\r\n\r\nhello" + HIDDEN)
    yield Case("row, one in chunks and one", TWO,
               START + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n" + HIDDEN)
    yield Case("row, a bad one and one", REFUSED,
               START + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + HIDDEN)
    yield Case("row, length and chunks and one", REFUSED,
               START + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN)
    yield Case("row, an unknown coding and one", REFUSED,
               START + b"Transfer-Encoding: cow\r\n\r\n" + HIDDEN)
    yield Case("row, bad chunks and one", REFUSED, START + CHUNKED + b"\r\n0\n\r\n" + HIDDEN)
    # The servers have no WebSockets: what follows is a request of its own.
    yield Case("row, a WebSocket that is none and one", TWO,
               b"GET PATH HTTP/1.1\r\nHost: HOST\r\nAUTHConnection: Upgrade\r\n"
               b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + HIDDEN)
    yield Case("row, an end and one", EITHER,
               START + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello" + HIDDEN)


def h1_cases():
    return [*lines(), *ends(), *fields(), *lengths(), *chunks(), *rows()]
