"""What a terminal shows in the end, by the emulator of `pyte`: JSON.

  live FILE FIRST  what a client was shown, below the line FIRST (`program` of ssh_terminal.py)
  cast FILE        an asciicast of version 2 or 3
  text FILE        what was printed on a terminal of 80 columns and 24 rows

It has one screen: what a program left on the other one is seen.
"""

import json
import re
import sys

import pyte

KIND, FILE = sys.argv[1:3]
# What no emulator shows, and this one takes for something else: keyboard protocols, texts to the
# terminal.
UNSHOWN = re.compile(r"\x1b\[[>=<][0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]*[mnu$]p?|\x1bP.*?\x1b\\\\", re.DOTALL)


def size(text):
    return tuple(map(int, text.split("x")))


def live():
    yield "o", (sys.argv[3] + "\r\n").encode()
    for line in open(FILE):
        code, what = json.loads(line)
        yield code, size(what) if code == "r" else bytes.fromhex(what)


def cast():
    lines = open(FILE).read().splitlines()
    head = json.loads(lines[0])
    term = head.get("term", {})
    yield "r", (term.get("cols") or head["width"], term.get("rows") or head["height"])
    for line in lines[1:]:
        _, code, what = json.loads(line)
        yield code, size(what) if code == "r" else what.encode()


def text():
    # As a terminal does that nobody set to raw.
    yield "o", open(FILE, "rb").read().replace(b"\n", b"\r\n")


screen = pyte.Screen(80, 24)
stream = pyte.Stream(screen)
waiting = b""


def show():
    global waiting
    stream.feed(UNSHOWN.sub("", waiting.decode(errors="replace")))
    waiting = b""


for code, what in {"live": live, "cast": cast, "text": text}[KIND]():
    if code == "r":
        show()
        screen.resize(what[1], what[0])
    elif code == "o":
        waiting += what
show()
looks = [
    [list(screen.buffer[row][column])[1:] for column in range(screen.columns)]
    for row in range(screen.lines)
]
print(json.dumps({
    "lines": [line.rstrip() for line in screen.display],
    "cursor": [screen.cursor.x, screen.cursor.y],
    "looks": looks,
}))
