"""People at terminals through weir, and how much many of them cost.

Arguments: port, user, key file, what, and what that needs:

  lines                  a shell of bash in which lines are typed and edited
  hiding                 one that prints much, takes the whole screen, and runs two lines as one
  program FILE KEYS CMD  a program on a terminal; all that it showed goes to FILE, as lines of JSON
                         with the sizes between to FILE.live. KEYS are pieces of input, separated by
                         commas, in hexadecimal, or sizes: COLUMNSxROWS
  count FILE             a shell that counts for ever; what came is in FILE
  idle CONNECTIONS N     so many connections with N shells each; says so, ends with its input
"""

import asyncio
import json
import sys

import asyncssh

PORT, USER, KEY, WHAT = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
REST = sys.argv[5:]
TERMINAL = {"term_type": "xterm-256color", "term_size": (80, 24), "encoding": None}


def connect():
    return asyncssh.connect(
        "127.0.0.1", PORT, username=USER, client_keys=[KEY], known_hosts=None, config=None,
        agent_path=None, login_timeout=120,
    )


class Typist:
    """One person at one terminal."""

    def __init__(self, process):
        self.process = process
        self.seen = b""

    async def until(self, words, since=0):
        async with asyncio.timeout(30):
            while words not in self.seen[since:]:
                data = await self.process.stdout.read(65536)
                assert data, self.seen
                self.seen += data

    async def quiet(self):
        """Reads until nothing has come for a while."""
        try:
            while True:
                async with asyncio.timeout(0.3):
                    data = await self.process.stdout.read(65536)
                if not data:
                    return
                self.seen += data
        except TimeoutError:
            pass

    async def enter(self, text, answer):
        """Types a line by its characters, and waits for what answers it."""
        since = len(self.seen)
        for byte in text:
            self.process.stdin.write(bytes([byte]))
            await asyncio.sleep(0.005)
        self.process.stdin.write(b"\r")
        await self.until(answer, since)
        await self.quiet()


async def lines():
    async with connect() as connection:
        process = await connection.create_process("env HISTFILE= bash --norc -i", **TERMINAL)
        typist = Typist(process)
        await typist.until(b"$ " if USER != "root@web-1" else b"# ")
        await typist.enter(b"PS1='pr> '", b"pr> ")
        await typist.enter(b"echo one", b"\rone\r\n")
        await typist.enter(b"echo tx\x08wo", b"\rtwo\r\n")
        await typist.enter(b"\x1b[A", b"\rtwo\r\n")
        await typist.enter(b"read -s word; echo go''t", b"\n")
        await typist.enter(b"hidden-word", b"got")
        await typist.enter(b"echo " + b"0123456789" * 12 + b" wide", b"wide\r\n")
        await typist.enter(b"cat > /dev/null", b"\n")
        await typist.enter(b"a line of cat", b"\n")
        process.stdin.write(b"\x04")
        await typist.until(b"pr> ", len(typist.seen) - 1)
        process.stdin.write(b"exit 3\r")
        await process.wait()
        assert process.exit_status == 3


async def hiding():
    async with connect() as connection:
        process = await connection.create_process("env HISTFILE= bash --norc -i", **TERMINAL)
        typist = Typist(process)
        await typist.until(b"# ")
        await typist.enter(b"PS1='pr> '", b"pr> ")
        await typist.enter(b"head -c 2500000 /dev/zero | tr '\\0' x | fold -w 70", b"x\x1b[?2004hpr> ")
        await typist.enter(b"echo after", b"\rafter\r\n")
        await typist.enter(b"printf '\\e[?1049h'", b"pr> ")
        await typist.enter(b"echo in it", b"\rin it\r\n")
        await typist.enter(b"printf '\\e[?1049l'", b"pr> ")
        await typist.enter(b"\x1b[200~echo one\necho two\x1b[201~", b"\ntwo\r\n")
        process.stdin.write(b"exit 3\r")
        await process.wait()
        assert process.exit_status == 3


async def program(file, keys, command):
    live = [["r", "80x24"]]

    async def quiet(typist):
        since = len(typist.seen)
        await typist.quiet()
        live.append(["o", typist.seen[since:].hex()])

    async with connect() as connection:
        process = await connection.create_process(command, **TERMINAL)
        typist = Typist(process)
        for piece in keys.split(","):
            await quiet(typist)
            if "x" in piece:
                process.change_terminal_size(*map(int, piece.split("x")))
                live.append(["r", piece])
            else:
                process.stdin.write(bytes.fromhex(piece))
        while data := await process.stdout.read(65536):
            typist.seen += data
            live.append(["o", data.hex()])
        await process.wait()
    with open(file, "wb") as out:
        out.write(typist.seen)
    with open(file + ".live", "w") as out:
        out.writelines(json.dumps(event) + "\n" for event in live)


async def count(file):
    with open(file, "wb", buffering=0) as out:
        try:
            async with connect() as connection:
                process = await connection.create_process(**TERMINAL)
                process.stdin.write(b"n=0; while :; do echo line $n; n=$((n+1)); done\r")
                while data := await process.stdout.read(65536):
                    out.write(data)
        except (OSError, asyncssh.Error):
            pass


async def idle(connections, each):
    gate = asyncio.Semaphore(8)

    async def one():
        async with gate:
            connection = await connect()
            for _ in range(int(each)):
                typist = Typist(await connection.create_process(**TERMINAL))
                await typist.until(b"here")
            return connection

    held = await asyncio.gather(*(one() for _ in range(int(connections))))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for connection in held:
        connection.close()
        await connection.wait_closed()


asyncio.run({"lines": lines, "hiding": hiding, "program": program, "count": count, "idle": idle}[WHAT](*REST))
print(WHAT, "ok")
