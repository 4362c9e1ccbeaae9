"""libpq 18 logs in by OAUTHBEARER: its own exchange, with a token handed in by its hook.

WEIR_TOKEN is the token, WEIR_ISSUER what goes into oauth_issuer. Prints what the server told of
the issuer, then the row, or the error.
"""

import ctypes
import os

import psycopg

BEARER_TOKEN = 1  # PQAUTHDATA_OAUTH_BEARER_TOKEN


class Request(ctypes.Structure):
    """PGoauthBearerRequest of libpq-fe.h, PostgreSQL 18."""

    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("run", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


Hook = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Request))
# What libpq keeps a pointer to has to live as long as this process.
TOKEN = ctypes.create_string_buffer(os.environ["WEIR_TOKEN"].encode())


@Hook
def give_token(kind, _connection, request):
    if kind != BEARER_TOKEN:
        return 0
    told = request.contents
    print("asks", (told.openid_configuration or b"").decode(), (told.scope or b"").decode())
    told.token = ctypes.cast(TOKEN, ctypes.c_char_p)
    return 1


def loaded_libpq():
    with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
        paths = {line.split()[-1] for line in maps if "/libpq-" in line or "/libpq.so" in line}
    return ctypes.CDLL(paths.pop())


print("libpq", psycopg.pq.version() // 10000)
libpq = loaded_libpq()
libpq.PQsetAuthDataHook.argtypes = [Hook]
libpq.PQsetAuthDataHook.restype = None
libpq.PQsetAuthDataHook(give_token)
try:
    with psycopg.connect(
        oauth_issuer=os.environ["WEIR_ISSUER"],
        oauth_client_id="weir-test",
        require_auth=os.environ.get("WEIR_REQUIRE_AUTH", "oauth"),
    ) as connection:
        print("row", *connection.execute("SELECT current_user, 1 + 1").fetchone())
except psycopg.Error as error:
    print("error", " ".join(str(error).split()))
