// A server for exchanges.tsv: many kinds of answers; says of requests what the test put there.
//
//   node exchanges_server.js PORT [LOG]
//
// LOG gets a line for each request that came whole.
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const zlib = require('zlib');

const port = Number(process.argv[2]);
const log = process.argv[3];
const TEXT = 'the same words again and again; '.repeat(100);

// What the client sent, whoever carried it.
function told(request, length, digest) {
  const { method, url, headers } = request;
  const shown = ['content-type', 'cookie', 'range', 'if-none-match'];
  const own = Object.entries(headers).filter(
    ([name]) => name.startsWith('x-own') || shown.includes(name));
  return JSON.stringify({ method, url, own: own.sort(), length, digest });
}

function pieces(response, count, bytes, pause) {
  let left = count;
  const next = () => {
    while (left > 0) {
      left -= 1;
      const more = response.write(Buffer.alloc(bytes, left & 255));
      if (pause) return setTimeout(next, pause);
      if (!more) return response.once('drain', next);
    }
    return response.end();
  };
  next();
}

function events(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  let count = 0;
  const timer = setInterval(() => {
    response.write(`id: ${count}\nevent: tick\ndata: ${count}\ndata: more\n\n`);
    count += 1;
    if (count === 5) {
      clearInterval(timer);
      response.end();
    }
  }, 20);
}

function fields(count) {
  const many = {};
  for (let at = 0; at < count; at += 1) many[`x-own-${at}`] = `value ${at}`;
  return many;
}

const KINDS = {
  status: (response, code) => {
    const more = code === '429' ? { 'retry-after': '7' } : {};
    response.writeHead(Number(code), { 'content-type': 'text/plain', ...more });
    response.end(['204', '304'].includes(code) ? undefined : `status ${code}`);
  },
  moved: (response, code) => {
    response.writeHead(Number(code), { location: '/told/there' });
    response.end('elsewhere');
  },
  away: (response) => {
    response.writeHead(302, { location: `http://localhost:${port}/told/away?a=b#c` });
    response.end();
  },
  gzip: (response) => {
    response.writeHead(200, { 'content-type': 'text/plain', 'content-encoding': 'gzip' });
    response.end(zlib.gzipSync(TEXT));
  },
  pieces: (response, count) => pieces(response, Number(count), 3, 10),
  large: (response, mebibytes) => pieces(response, Number(mebibytes) * 16, 65536, 0),
  sized: (response, mebibytes) => {
    const body = Buffer.alloc(Number(mebibytes) << 20, 'y');
    response.writeHead(200, { 'content-length': body.length });
    response.end(body);
  },
  range: (response) => {
    response.writeHead(206, { 'content-range': 'bytes 2-5/10', 'accept-ranges': 'bytes' });
    response.end('cdef');
  },
  cookies: (response) => {
    response.setHeader('set-cookie', ['a=1; Path=/; HttpOnly', 'b="two, three"; Max-Age=60']);
    response.end('cookies');
  },
  fields: (response, count) => {
    response.writeHead(200, fields(Number(count)));
    response.end('fields');
  },
  kept: (response) => {
    response.writeHead(200, { etag: '"v1"', 'cache-control': 'max-age=60', vary: 'accept',
      'last-modified': 'Sat, 28 Nov 2026 10:00:00 GMT', link: '</a>; rel=next' });
    response.end('kept');
  },
  nothing: (response) => response.end(),
  closes: (response) => {
    response.writeHead(200, { connection: 'close' });
    response.end('the last one');
  },
  events,
};

function answer(request, response) {
  const digest = crypto.createHash('sha256');
  let length = 0;
  request.on('data', (data) => {
    length += data.length;
    digest.update(data);
  });
  request.on('end', () => {
    const [, kind, argument] = request.url.split(/[/?]/);
    const { method, url, headers: { host } } = request;
    const hex = digest.digest('hex');
    const noted = JSON.stringify({ method, url, host, length, digest: hex });
    if (log) fs.appendFileSync(log, `${noted}\n`);
    if (KINDS[kind]) return KINDS[kind](response, argument);
    const text = told(request, length, hex.slice(0, 16));
    response.writeHead(200, { 'content-type': 'application/json; charset=utf-8' });
    return response.end(text);
  });
}

const server = http.createServer({ keepAliveTimeout: 60000 }, answer);
server.listen(port, '127.0.0.1');
