"""A server of HTTP whose bodies hold what masks are for, in every form.

    python body_server.py PORT
"""
import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CARD, MAIL, SSN = "4539148803436467", "bob@example.com", "078-05-1120"
PERSON = {"id": 7, "name": "Bob", "customer": {"ssn": SSN, "mail": MAIL}, "note": f"card {CARD}"}
WHOLE = json.dumps({"people": [PERSON], "spaced":   [1,  2]}).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def whole(self, kind, body, status=200, **fields):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunks(self, kind, parts):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in parts:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()
        self.wfile.write(b"0\r\nX-Trailer: " + MAIL.encode() + b"\r\n\r\n")

    def do_GET(self):
        path = self.path.split("?")[0]
        asked = self.headers.get("Accept-Encoding", "")
        if path == "/json":
            self.whole("application/json", WHOLE, ETag='"7"', Digest="sha-256=x", Accept_Ranges="bytes")
        elif path == "/pieces":
            self.chunks("application/json", [WHOLE[at:at + 1] for at in range(len(WHOLE))])
        elif path == "/form":
            body = f"card={CARD}&mail=bob%40example.com&name=Bob+B"
            self.whole("application/x-www-form-urlencoded", body.encode())
        elif path == "/text":
            self.whole("text/plain", f"write to {MAIL}, pay by {CARD}\n".encode())
        elif path == "/untyped":
            self.send_response(200)
            self.send_header("Content-Length", str(len(WHOLE)))
            self.end_headers()
            self.wfile.write(WHOLE)
        elif path == "/lying":
            self.whole("text/plain", WHOLE)
        elif path == "/events":
            person = json.dumps(PERSON).encode()
            self.chunks("text/event-stream", [
                b": hello\n\n", b"data: plain ", MAIL.encode(), b"\n\n",
                b"event: row\ndata: " + person[:30], person[30:] + b"\n\n", b"data: last\n\n"])
        elif path == "/gzip":
            self.whole("application/json", gzip.compress(WHOLE), Content_Encoding="gzip")
        elif path == "/gzip-if-asked":
            if "gzip" in asked:
                self.whole("application/json", gzip.compress(WHOLE), Content_Encoding="gzip")
            else:
                self.whole("application/json", WHOLE)
        elif path == "/image":
            self.whole("image/png", b"\x89PNG " + MAIL.encode())
        elif path == "/pdf":
            self.whole("application/pdf", b"%PDF " + MAIL.encode())
        elif path == "/utf16":
            self.whole("application/json", WHOLE.decode().encode("utf-16"))
        elif path == "/latin":
            self.whole("text/plain; charset=iso-8859-1", b"caf\xe9 " + MAIL.encode())
        elif path == "/broken":
            self.whole("application/json", b'{"a": 1, ' + b'"b" 2} ' + MAIL.encode())
        elif path == "/breaking":
            self.chunks("application/json", [b'{"a": "' + b"x" * 300000, b'", "b" 2} ' + MAIL.encode()])
        elif path == "/csv":
            self.whole("text/csv", f"ssn,mail\n1,{MAIL}\n".encode())
        elif path == "/error":
            self.whole("text/html", f"<p>no such user: {MAIL}</p>".encode(), status=500)
        elif path == "/fields":
            self.whole("application/json", b"{}", X_Owner=MAIL, X_Plain="kept",
                       Location=f"http://elsewhere/?to={MAIL}")
        elif path == "/part":
            self.whole("text/plain", MAIL[:5].encode(), status=206, Content_Range="bytes 0-4/15")
        elif path == "/asked":
            self.whole("application/json", json.dumps(dict(self.headers)).encode())
        else:
            self.whole("text/plain", b"no such thing", status=404)

    do_HEAD = do_GET

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
