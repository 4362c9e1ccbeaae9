// What fetch and undici of Node hear of each line of exchanges.tsv: a line of JSON per exchange.
//
//   node exchanges.js fetch|undici|undici2 URL AUTHORITY|- USER:PASSWORD
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const { Agent, interceptors, request, fetch: ownFetch } = require('undici');

const [client, base, authority, login] = process.argv.slice(2);
const SHOWN = new Set(['content-type', 'location', 'set-cookie', 'etag', 'cache-control', 'vary',
  'link', 'last-modified', 'content-range', 'accept-ranges', 'retry-after', 'content-encoding']);
const connect = authority === '-' ? {} : { ca: fs.readFileSync(authority) };
const agent = new Agent({ allowH2: client === 'undici2', connect });

function table() {
  const text = fs.readFileSync(path.join(__dirname, 'exchanges.tsv'), 'utf8');
  return text.trimEnd().split('\n').slice(1).map((line) => {
    const [name, method, target, fields, content, more] = line.split('\t');
    const pairs = fields === '-' ? [] : fields.split('; ').map((pair) => pair.split(/: (.*)/s));
    const headers = Object.fromEntries(pairs.map(([key, value]) => [key, value]));
    headers.Authorization = `Basic ${Buffer.from(login).toString('base64')}`;
    return { name, method, target, headers, content, follow: more === 'follow' };
  });
}

// The bytes, and whether they are sent as they come.
function body(content) {
  const [kind, value] = content.split(/:(.*)/s);
  if (kind === 'text') return [Buffer.from(value), false];
  if (kind === 'bytes' || kind === 'stream') {
    const bytes = Buffer.alloc(Number(value));
    for (let at = 0; at < bytes.length; at += 1) bytes[at] = at & 255;
    return [bytes, kind === 'stream'];
  }
  return [undefined, false];
}

async function* pieces(bytes) {
  for (let at = 0; at < bytes.length; at += 10000) yield bytes.subarray(at, at + 10000);
}

async function byFetch({ method, target, headers, content, follow }) {
  const [bytes, streams] = body(content);
  const answer = await ownFetch(base + target, {
    method,
    headers,
    body: streams ? pieces(bytes) : bytes,
    duplex: streams ? 'half' : undefined,
    redirect: follow ? 'follow' : 'manual',
    dispatcher: agent,
  });
  const fields = [...answer.headers].map(([key, value]) => [key, value]);
  return [answer.status, fields, Buffer.from(await answer.arrayBuffer())];
}

async function byUndici({ method, target, headers, content, follow }) {
  const [bytes, streams] = body(content);
  const follows = interceptors.redirect({ maxRedirections: 3 });
  const answer = await request(base + target, {
    method,
    headers,
    body: streams ? pieces(bytes) : bytes,
    dispatcher: follow ? agent.compose(follows) : agent,
  });
  const fields = Object.entries(answer.headers)
    .flatMap(([key, value]) => [value].flat().map((one) => [key, String(one)]));
  return [answer.statusCode, fields, Buffer.from(await answer.body.arrayBuffer())];
}

async function main() {
  const ask = client === 'fetch' ? byFetch : byUndici;
  for (const exchange of table()) {
    const [status, heard, bytes] = await ask(exchange);
    const fields = heard
      .filter(([key]) => SHOWN.has(key) || key.startsWith('x-own'))
      .map(([key, value]) => [key, value.replace(base, '//ORIGIN')])
      .sort();
    const digest = crypto.createHash('sha256').update(bytes).digest('hex').slice(0, 16);
    const text = bytes.length < 3000 ? bytes.toString().slice(0, 600) : '';
    console.log(JSON.stringify({
      exchange: exchange.name, status, fields, length: bytes.length, digest, text,
    }));
  }
  process.exit(0);
}

main();
