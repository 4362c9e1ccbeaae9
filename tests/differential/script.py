"""The scripts: a few words per frame. `scripts/README` of the words is in tests/README.md.

A file has cases; a case is a list of steps on one connection (or several, by name). Frames collect
until a step that hears something, so what stands between two of those leaves in one write.
"""

import dataclasses
import re
import struct

from wire import GSS_REQUEST, SSL_REQUEST, message, packet, strings

TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"(?:\*(\d+))?|(\S+)')
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)")
PLAIN = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", '"': '"'}


@dataclasses.dataclass
class Case:
    """One conversation and how its answers are compared."""

    name: str
    place: str
    steps: list = dataclasses.field(default_factory=list)
    # Words: `raw` (no login), `loose` (errors by SQLSTATE), `close-alike` (the errors right before
    # the end of the stream do not matter), `whole` (not cut in pieces).
    words: set = dataclasses.field(default_factory=set)
    login: list = dataclasses.field(default_factory=list)
    # Versions of the server that the case is for.
    versions: range = range(0, 1000)


@dataclasses.dataclass
class File:
    """The cases of one file, and the SQL that is run before the first of them."""

    setup: list
    cases: list


def unquote(text):
    def one(found):
        code = found.group(1)
        return chr(int(code[1:], 16)) if len(code) == 3 else PLAIN[code]

    # A byte above 127 is written \xNN and stands for itself, whatever the encoding.
    parts = ESCAPE.split(text)
    plain = [part.encode() for part in parts[::2]]
    codes = [one(ESCAPE.match("\\" + code)).encode("latin-1") for code in parts[1::2]]
    return b"".join(a + b for a, b in zip(plain, codes + [b""]))


def tokens(line):
    """Words as `str`, quoted strings as `bytes`."""
    found = []
    for quoted, times, word in TOKEN.findall(line):
        if word.startswith("#"):
            break
        if word.startswith("hex:"):
            found.append(bytes.fromhex(word[4:]))
        elif word:
            found.append(word)
        else:
            found.append(unquote(quoted) * int(times or 1))
    return found


def text(token):
    return token if isinstance(token, bytes) else token.encode()


def cstr(token):
    return text(token) + b"\0"


def values(arguments):
    """Parameters as Bind and FunctionCall have them: formats, then values."""
    formats = [b for a in arguments if str(a).startswith("formats:") for b in a[8:].split(",") if b]
    stated = any(str(a).startswith("formats:") for a in arguments)
    given = [a for a in arguments if not str(a).startswith("formats:")]
    binary = [isinstance(a, str) and a.startswith("bin:") for a in given]
    if not stated and any(binary):
        formats = [int(b) for b in binary]
    body = struct.pack("!H", len(formats)) + b"".join(struct.pack("!h", int(f)) for f in formats)
    body += struct.pack("!H", len(given))
    for value, is_binary in zip(given, binary):
        if value == "null":
            body += struct.pack("!i", -1)
            continue
        data = bytes.fromhex(value[4:]) if is_binary else text(value)
        body += struct.pack("!i", len(data)) + data
    return body


def split_results(arguments):
    """What stands before and behind the bar."""
    if "|" not in arguments:
        return arguments, []
    bar = arguments.index("|")
    return arguments[:bar], [int(a) for a in arguments[bar + 1 :]]


def frame(word, arguments):
    """The bytes of one frame, or None for a word that is none."""
    if word == "Q":
        return message(b"Q", cstr(arguments[0]))
    if word == "P":
        types = [int(oid) for oid in arguments[2:]]
        head = cstr(arguments[0]) + cstr(arguments[1]) + struct.pack("!H", len(types))
        return message(b"P", head + b"".join(struct.pack("!I", oid) for oid in types))
    if word == "B":
        given, results = split_results(arguments[2:])
        tail = struct.pack("!H", len(results)) + b"".join(struct.pack("!h", r) for r in results)
        head = cstr(arguments[0]) + cstr(arguments[1])
        return message(b"B", head + values(given) + tail)
    if word in ("D", "C"):
        return message(word.encode(), text(arguments[0]) + cstr(arguments[1]))
    if word == "E":
        limit = int(arguments[1]) if len(arguments) > 1 else 0
        return message(b"E", cstr(arguments[0]) + struct.pack("!i", limit))
    if word == "F":
        given, results = split_results(arguments[1:])
        tail = struct.pack("!h", results[0] if results else 0)
        return message(b"F", struct.pack("!I", int(arguments[0])) + values(given) + tail)
    if word == "d":
        return message(b"d", text(arguments[0]) if arguments else b"")
    if word == "f":
        return message(b"f", cstr(arguments[0]))
    if word in ("S", "H", "X", "c"):
        return message(word.encode(), b"")
    return odd_frame(word, arguments)


def odd_frame(word, arguments):
    """Frames that no good client sends."""
    if word == "msg":
        return message(text(arguments[0]), b"".join(text(a) for a in arguments[1:]))
    if word == "lie":
        head = text(arguments[0]) + struct.pack("!I", int(arguments[1]) & 0xFFFFFFFF)
        return head + b"".join(text(a) for a in arguments[2:])
    if word == "bytes":
        return b"".join(text(a) for a in arguments)
    if word == "packet":
        return packet(b"".join(text(a) for a in arguments))
    if word == "ssl":
        return SSL_REQUEST
    if word == "gss":
        return GSS_REQUEST
    return None


def startup(arguments):
    """`startup MAJOR.MINOR name value ..`: a function, as the names depend on the endpoint."""
    major, minor = (int(part) for part in arguments[0].split("."))

    def build(endpoint):
        own = {b"$user": endpoint.user.encode(), b"$dbname": endpoint.dbname.encode()}
        parts = [own.get(text(a), text(a)) for a in arguments[1:]]
        pairs = list(zip(parts[::2], parts[1::2]))
        return packet(struct.pack("!HH", major, minor) + strings(pairs))

    return build


HEARING = {"read", "wait", "fin", "byte", "tls", "auth", "cancel", "on", "split", "end"}


def step(line, place):
    """One line of a case: `(word, arguments)`, frames as `("send", bytes)`."""
    parts = tokens(line)
    word, arguments = parts[0], parts[1:]
    if word == "times":
        _, data = step_of(parts[2], parts[3:], place)
        return "send", data * int(arguments[0])
    return step_of(word, arguments, place)


def step_of(word, arguments, place):
    if word == "startup":
        return "startup", startup(arguments)
    if word in HEARING:
        return word, arguments
    data = frame(word, arguments)
    if data is None:
        raise ValueError(f"{place}: no such word: {word}")
    return "send", data


def option(case, word, arguments):
    """A line right behind `case`; False when it is a step."""
    if word in ("raw", "loose", "close-alike", "whole"):
        case.words.add(word)
    elif word == "login":
        pairs = (text(a).decode().split("=", 1) for a in arguments)
        case.login.extend(tuple(pair) for pair in pairs)
    elif word == "from":
        case.versions = range(int(arguments[0]), case.versions.stop)
    elif word == "until":
        case.versions = range(case.versions.start, int(arguments[0]) + 1)
    else:
        return False
    return True


def lines(content):
    """Numbered lines; one that ends in a backslash goes on in the next."""
    begun, whole = 0, ""
    for number, line in enumerate(content.splitlines(), 1):
        begun = begun if whole else number
        whole += line.lstrip() if whole else line
        if whole.endswith("\\"):
            whole = whole[:-1]
            continue
        yield begun, whole
        whole = ""


def load(path):
    setup, cases = [], []
    for number, line in lines(path.read_text()):
        place = f"{path.name}:{number}"
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        word, _, rest = line.strip().partition(" ")
        if word == "setup":
            setup.append(rest)
        elif word == "case":
            cases.append(Case(rest, place))
        elif not cases:
            raise ValueError(f"{place}: a step before the first case")
        elif not option(cases[-1], word, tokens(rest)):
            cases[-1].steps.append(step(line.strip(), place))
    return File(setup, cases)
