// ssh2 through weir: a command, its streams, files, a refusal. Arguments: port, user, key, folder.
const assert = require("assert");
const crypto = require("crypto");
const fs = require("fs");
const { Client } = require("ssh2");

const [port, username, key, folder] = process.argv.slice(2);
const content = crypto.randomBytes(2000000);
const client = new Client();

function run(text, input) {
  return new Promise((resolve, reject) => {
    client.exec(text, (error, stream) => {
      if (error) return reject(error);
      let [stdout, stderr, status] = ["", "", null];
      stream.on("exit", (code) => (status = code));
      stream.on("close", () => resolve([stdout, stderr, status]));
      stream.on("data", (data) => (stdout += data));
      stream.stderr.on("data", (data) => (stderr += data));
      stream.end(input);
    });
  });
}

function files() {
  const call = (sftp, name, ...rest) =>
    new Promise((resolve, reject) =>
      sftp[name](...rest, (error, value) => (error ? reject(error) : resolve(value))));
  return new Promise((resolve, reject) => {
    client.sftp(async (error, sftp) => {
      if (error) return reject(error);
      try {
        const path = `${folder}/by-ssh2`;
        await call(sftp, "writeFile", path, content);
        assert(content.equals(await call(sftp, "readFile", path)));
        const names = (await call(sftp, "readdir", folder)).map((entry) => entry.filename);
        assert(names.includes("by-ssh2"));
        await assert.rejects(call(sftp, "readFile", `${folder}/secret/file`), { code: 3 });
        await call(sftp, "unlink", path);
        resolve();
      } catch (failure) {
        reject(failure);
      }
    });
  });
}

client.on("ready", async () => {
  try {
    assert.deepStrictEqual(
      await run("cat; echo err >&2; exit 7", "some input"), ["some input", "err\n", 7]);
    const refused = await run("forbidden", "");
    assert(refused[2] === 126 && refused[1].includes("weir: denied"), String(refused));
    await files();
    console.log("ssh2 ok");
  } catch (failure) {
    console.error(failure);
    process.exitCode = 1;
  }
  client.end();
});
client.connect({ host: "127.0.0.1", port: Number(port), username, privateKey: fs.readFileSync(key) });
