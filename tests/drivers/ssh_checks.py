"""Paramiko and asyncssh through weir: commands, streams, files, refusals.

Arguments: port, user, key file, folder at the target.
"""

import asyncio
import io
import os
import sys

import asyncssh
import paramiko

PORT, USER, KEY, FOLDER = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
CONTENT = os.urandom(3_000_000)
FORBIDDEN = "git-receive-pack /forbidden"


def with_paramiko():
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(
        "127.0.0.1", PORT, USER, key_filename=KEY, look_for_keys=False, allow_agent=False
    )
    stdin, stdout, stderr = client.exec_command("cat; echo err >&2; exit 7")
    stdin.write("some input")
    stdin.channel.shutdown_write()
    assert stdout.read() == b"some input"
    assert stderr.read() == b"err\n"
    assert stdout.channel.recv_exit_status() == 7
    _, stdout, stderr = client.exec_command(FORBIDDEN)
    assert stdout.channel.recv_exit_status() == 126
    assert b"weir: denied" in stderr.read()
    # sshd takes a NUL at the end of a text for its end, weir refuses it.
    for name in ("sftp\0", "sftp\0x"):
        try:
            client.get_transport().open_session().invoke_subsystem(name)
            raise AssertionError("a name with a NUL was taken")
        except paramiko.SSHException:
            pass
    _, stdout, stderr = client.exec_command("true\0")
    assert stdout.channel.recv_exit_status() == 126
    assert b"NUL" in stderr.read()
    channel = client.invoke_shell()
    channel.send(b"echo on $((40+2)); exit\n")
    seen = b""
    while data := channel.recv(65536):
        seen += data
    assert b"on 42" in seen, seen
    sftp = client.open_sftp()
    path = f"{FOLDER}/by-paramiko"
    sftp.putfo(io.BytesIO(CONTENT), path)
    back = io.BytesIO()
    sftp.getfo(path, back)
    assert back.getvalue() == CONTENT
    with sftp.open(path, "r+") as file:
        file.seek(1000)
        file.write(b"changed")
        file.seek(998)
        assert file.read(9) == CONTENT[998:1000] + b"changed"
    sftp.chmod(path, 0o600)
    assert "by-paramiko" in sftp.listdir(FOLDER)
    try:
        sftp.open(f"{FOLDER}/secret/file")
        raise AssertionError("a refused file was opened")
    except PermissionError:
        pass
    except OSError as error:
        assert "enied" in str(error), error
    sftp.remove(path)
    # Relative paths mean something to weir once the client has asked where they start.
    sftp.normalize(".")
    sftp.stat(".")
    client.close()


async def with_asyncssh():
    async with asyncssh.connect(
        "127.0.0.1", PORT, username=USER, client_keys=[KEY], known_hosts=None, config=None
    ) as connection:
        result = await connection.run("cat; echo err >&2; exit 7", input="some input")
        assert (result.stdout, result.stderr, result.exit_status) == ("some input", "err\n", 7)
        results = await asyncio.gather(
            *(connection.run(f"echo {number}") for number in range(20))
        )
        assert [result.stdout for result in results] == [f"{number}\n" for number in range(20)]
        refused = await connection.run(FORBIDDEN)
        assert refused.exit_status == 126 and "weir: denied" in refused.stderr
        terminal = await connection.run("tty; stty size", term_type="xterm", term_size=(100, 30))
        assert "30 100" in terminal.stdout, terminal.stdout
        async with connection.start_sftp_client() as sftp:
            path = f"{FOLDER}/by-asyncssh"
            async with sftp.open(path, "wb") as file:
                await file.write(CONTENT)
            async with sftp.open(path, "rb") as file:
                assert await file.read() == CONTENT
            assert (await sftp.stat(path)).size == len(CONTENT)
            assert "by-asyncssh" in await sftp.listdir(FOLDER)
            try:
                await sftp.open(f"{FOLDER}/secret/file", "rb")
                raise AssertionError("a refused file was opened")
            except asyncssh.SFTPPermissionDenied:
                pass
            await sftp.remove(path)


with_paramiko()
print("paramiko ok")
asyncio.run(with_asyncssh())
print("asyncssh ok")
