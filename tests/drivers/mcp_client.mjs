// The same as mcp_client.py, by the official SDK for TypeScript: revisions with a handshake.
//
//   node mcp_client.mjs URL USER PASSWORD
import { createRequire } from 'node:module';
import readline from 'node:readline';

// Modules of NODE_PATH are found by `require` alone.
const require = createRequire(process.env.NODE_PATH + '/x.js');
const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } =
  require('@modelcontextprotocol/sdk/client/streamableHttp.js');

const [url, user, password] = process.argv.slice(2);
const Authorization = 'Basic ' + Buffer.from(`${user}:${password}`).toString('base64');
const client = new Client({ name: 'test', version: '1' });
await client.connect(
  new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization } } }),
);

async function run(line) {
  const told = [];
  let options;
  if (line.startsWith('patiently ')) {
    line = line.slice('patiently '.length);
    const onprogress = (progress) => told.push(progress.message);
    options = { onprogress, timeout: 12_000, resetTimeoutOnProgress: true };
  }
  const at = line.indexOf(' ');
  const name = at < 0 ? line : line.slice(0, at);
  const rest = at < 0 ? '' : line.slice(at + 1);
  if (name === 'list') return (await client.listTools()).tools.map((tool) => tool.name);
  if (name === 'read') return (await client.readResource({ uri: rest })).contents[0].text;
  const wanted = { name, arguments: JSON.parse(rest || '{}') };
  const result = await client.callTool(wanted, undefined, options);
  return {
    progress: told,
    error: result.isError ?? false,
    text: result.content.map((part) => part.text),
    structured: result.structuredContent ?? null,
  };
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = await run(line.trim());
  } catch (error) {
    answer = { exception: error.message };
  }
  console.log(JSON.stringify(answer));
}
await client.close();
