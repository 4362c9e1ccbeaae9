"""A server of gRPC for tests of weir: messages are bytes, methods do what their names say.

    python grpc_server.py PORT [CERTIFICATE KEY AUTHORITY]
"""
import sys
import threading
import time
from concurrent import futures

import grpc

DETAILS = b"\x08\x05\x12\x07details"
LARGE = [("grpc.max_receive_message_length", 8 << 20), ("grpc.max_send_message_length", 8 << 20)]
cancelled = threading.Semaphore(0)


def told(context):
    """What of the caller's metadata the test put there."""
    sent = context.invocation_metadata()
    return tuple(("x-told-" + key[2:], value) for key, value in sent if key.startswith("x-own"))


def unary(request, context):
    context.send_initial_metadata(told(context) + (("x-initial", "first"),))
    context.set_trailing_metadata((("x-trail", "last"), ("x-trail-bin", b"\x00\xff\x01")))
    return request


def server_stream(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def client_stream(requests, context):
    parts = list(requests)
    return b"%d messages, %d bytes" % (len(parts), sum(map(len, parts)))


def bidi(requests, context):
    for request in requests:
        yield request + b"!"


def slow(request, context):
    context.add_callback(cancelled.release)
    until = time.monotonic() + float(request)
    while time.monotonic() < until and context.is_active():
        time.sleep(0.01)
    return b"slept"


def stopped(request, context):
    """Whether a call was over before its answer, within ten seconds."""
    return b"yes" if cancelled.acquire(timeout=10) else b"no"


def fail(request, context):
    context.set_trailing_metadata((("grpc-status-details-bin", DETAILS),))
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: a%b \u00e4\u00f6, 100 %")


def fail_late(request, context):
    yield b"one"
    yield b"two"
    context.abort(grpc.StatusCode.ABORTED, "behind two messages")


def main():
    port, *files = sys.argv[1:]
    one, many = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    methods = {
        "Unary": one(unary),
        "Held": one(unary),
        "ServerStream": many(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
        "Slow": one(slow),
        "Stopped": one(stopped),
        "Fail": one(fail),
        "FailLate": many(fail_late),
    }
    options = LARGE + [("grpc.http2.min_ping_interval_without_data_ms", 50),
                       ("grpc.keepalive_permit_without_calls", 1), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(80), options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("weir.Test", methods),
                                     grpc.method_handlers_generic_handler("secret/weir.Test",
                                                                          methods)))
    address = f"127.0.0.1:{port}"
    if files:
        certificate, key, _ = (open(name, "rb").read() for name in files)
        server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
    else:
        server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
