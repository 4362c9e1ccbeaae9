"""What a client of gRPC sees: a line of JSON per check.

    python grpc_client.py HOST:PORT AUTHORITY|- USER:PASSWORD [CHECK ..]
"""
import base64
import json
import sys
import threading

import grpc

OPTIONS = {
    "grpc.max_receive_message_length": 8 << 20,
    "grpc.max_send_message_length": 8 << 20,
    "grpc.enable_http_proxy": 0,
}


class Client:
    def __init__(self, address, authority, login, options=()):
        options = list({**OPTIONS, **dict(options)}.items())
        if authority == "-":
            self.channel = grpc.insecure_channel(address, options)
        else:
            roots = grpc.ssl_channel_credentials(open(authority, "rb").read())
            self.channel = grpc.secure_channel(address, roots, options)
        basic = base64.b64encode(login.encode()).decode()
        self.metadata = [("authorization", f"Basic {basic}")]

    def unary(self, name, request, more=(), **options):
        call = self.channel.unary_unary(f"/weir.Test/{name}")
        metadata = self.metadata + list(more)
        return call.with_call(request, metadata=metadata, timeout=20, **options)

    def call(self, kind, name, request, timeout=20, **options):
        call = getattr(self.channel, kind)(f"/weir.Test/{name}")
        return call(request, metadata=self.metadata, timeout=timeout, **options)


def own(metadata):
    """What is the server's own; each as often as it stands there."""
    shown = []
    for key, value in metadata or ():
        if key.startswith("x-"):
            shown.append([key, value.hex() if isinstance(value, bytes) else value])
    return sorted(shown)


def failure(error):
    details = [v.hex() for k, v in error.trailing_metadata() or ()
               if k == "grpc-status-details-bin"]
    return {"code": error.code().name, "words": error.details(), "details": details}


def fails(work):
    try:
        work()
    except grpc.RpcError as error:
        return failure(error)
    return "no failure"


def metadata(client):
    sent = [("x-own-a", "one"), ("x-own-a", "two"), ("x-own-b-bin", b"\x00\x80\xfe")]
    answer, call = client.unary("Unary", b"hello", sent)
    return [answer.decode(), own(call.initial_metadata()), own(call.trailing_metadata()),
            call.code().name]


def conversation(client):
    asked = threading.Semaphore(1)

    def requests():
        for number in range(5):
            if not asked.acquire(timeout=10):
                return
            yield b"%d" % number

    heard = []
    for answer in client.call("stream_stream", "Bidi", requests()):
        heard.append(answer.decode())
        asked.release()
    return heard


def taken_back(client):
    call = client.channel.unary_unary("/weir.Test/Slow").future(
        b"20", metadata=client.metadata, timeout=30)
    threading.Event().wait(0.3)
    call.cancel()
    code = fails(lambda: call.result()) if not call.cancelled() else "CANCELLED"
    return [code, client.unary("Stopped", b"")[0].decode()]


def left_in_the_middle(client):
    left = threading.Event()

    def requests():
        yield b"one"
        left.wait(10)

    call = client.call("stream_stream", "Bidi", requests())
    first = next(call).decode()
    call.cancel()
    left.set()
    return [first, call.code().name]


def late(client):
    said = fails(lambda: client.call("unary_unary", "Slow", b"20", timeout=0.4))
    return [said["code"], client.unary("Stopped", b"")[0].decode()]


def compressed(client):
    text = b"the same words again and again; " * 4000
    answer, _ = client.unary("Unary", text, compression=grpc.Compression.Gzip)
    return answer == text


def at_once(client):
    call = client.channel.unary_unary("/weir.Test/Unary")
    calls = [call.future(b"%d" % n, metadata=client.metadata, timeout=20) for n in range(60)]
    return [c.result().decode() for c in calls] == [str(n) for n in range(60)]


def broken(client):
    heard = []

    def read():
        for answer in client.call("unary_stream", "FailLate", b""):
            heard.append(answer.decode())

    return [fails(read), heard]


def large(client):
    message = bytes(range(256)) * (4 << 12)
    answer, _ = client.unary("Unary", message)
    return [len(answer), answer == message]


def upload(client):
    pieces = (b"x" * 100_000 for _ in range(80))
    return client.call("stream_unary", "ClientStream", pieces).decode()


def download(client):
    return sum(len(answer) for answer in client.call("unary_stream", "ServerStream", b"3000"))


def checks(address, authority, login):
    client = Client(address, authority, login)
    pings = [("grpc.keepalive_time_ms", 300), ("grpc.keepalive_timeout_ms", 2000),
             ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0)]
    pinging = Client(address, authority, login, pings)
    small = Client(address, authority, login, [("grpc.max_receive_message_length", 1000)])
    return {
        "unary": lambda: client.unary("Unary", b"hello")[0].decode(),
        "nothing": lambda: client.unary("Unary", b"")[0].decode(),
        "metadata": lambda: metadata(client),
        "server stream": lambda: [a.decode() for a in
                                  client.call("unary_stream", "ServerStream", b"5")],
        "empty stream": lambda: list(client.call("unary_stream", "ServerStream", b"0")),
        "client stream": lambda: client.call("stream_unary", "ClientStream",
                                             iter([b"a", b"bc", b""])).decode(),
        "no messages": lambda: client.call("stream_unary", "ClientStream", iter([])).decode(),
        "conversation": lambda: conversation(client),
        "error": lambda: fails(lambda: client.unary("Fail", b"")),
        "error behind messages": lambda: broken(client),
        "no such method": lambda: fails(lambda: client.unary("Nothing", b""))["code"],
        "deadline": lambda: late(client),
        "taken back": lambda: taken_back(client),
        "left in the middle": lambda: left_in_the_middle(client),
        "compressed": lambda: compressed(client),
        "4 MiB": lambda: large(client),
        "8 MB up": lambda: upload(client),
        "3000 messages": lambda: download(client),
        "too large for the client": lambda: fails(
            lambda: small.unary("Unary", b"x" * 2000))["code"],
        "at once": lambda: at_once(client),
        "pings": lambda: pinging.unary("Slow", b"1.5")[0].decode(),
        "after all": lambda: client.unary("Unary", b"bye")[0].decode(),
        # Where weir decides.
        "denied": lambda: fails(lambda: client.channel.unary_unary("/secret/weir.Test/Unary")(
            b"x", metadata=client.metadata, timeout=20)),
        "held": lambda: client.unary("Held", b"please")[0].decode(),
        "held and refused": lambda: fails(lambda: client.unary("Held", b"please")),
        "held in a hurry": lambda: fails(lambda: client.call(
            "unary_unary", "Held", b"soon", timeout=3)),
        "nobody": lambda: fails(lambda: client.channel.unary_unary("/weir.Test/Unary")(
            b"x", timeout=20)),
    }


OWN = ["denied", "held", "held and refused", "held in a hurry", "nobody"]


def main():
    address, authority, login, *names = sys.argv[1:]
    known = checks(address, authority, login)
    for name in names or [name for name in known if name not in OWN]:
        try:
            said = known[name]()
        except Exception as error:  # The line says what went wrong.
            said = f"{type(error).__name__}: {error}"
        print(json.dumps({"check": name, "said": said}), flush=True)


if __name__ == "__main__":
    main()
