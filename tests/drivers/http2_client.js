// A client of HTTP/2 for tests of weir: many requests of one connection.
//
//   node http2_client.js URL AUTHORITY LOGIN SCENARIO
//
// LOGIN is `user:password`. AUTHORITY is a file, or `-` for a connection in clear. Prints a line of
// JSON for every answer, in the order in which they end, and `closed` when the connection is.
const fs = require('fs');
const http2 = require('http2');

const [url, authority, login, scenario] = process.argv.slice(2);
const authorization = `Basic ${Buffer.from(login).toString('base64')}`;
const ca = authority === '-' ? undefined : fs.readFileSync(authority);
const session = http2.connect(url, { ca, settings: { initialWindowSize: 65535 } });
session.on('error', (error) => say({ session: String(error.code || error) }));
session.on('goaway', (code) => say({ goaway: code }));
session.on('close', () => say({ closed: true }));

function say(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

function ask(method, path, more = {}, content = undefined) {
  const head = { ':method': method, ':path': path, authorization, ...more };
  const stream = session.request(head, { endStream: content === undefined });
  const parts = [];
  let status = 0;
  let fields = {};
  stream.on('response', (headers) => {
    status = headers[':status'];
    fields = headers;
  });
  let trailers = {};
  stream.on('trailers', (headers) => {
    trailers = { ...headers };
  });
  stream.on('data', (data) => parts.push(data));
  stream.on('error', () => {});
  const over = new Promise((resolve) => {
    stream.on('close', () => {
      const body = Buffer.concat(parts);
      const type = fields['content-type'];
      const code = stream.rstCode;
      const text = body.toString().slice(0, 2000);
      const grpc = fields['grpc-status'];
      say({ path, status, type, code, length: body.length, body: text, grpc, trailers });
      resolve(status);
    });
  });
  if (content !== undefined && content !== null) stream.end(content);
  return { stream, over };
}

const scenarios = {
  // A hundred at a time, three times.
  async many() {
    for (let round = 0; round < 3; round += 1) {
      const all = [];
      for (let number = 0; number < 100; number += 1) {
        all.push(ask('POST', `/many/${round}/${number}`, {}, `body ${number}`).over);
      }
      await Promise.all(all);
    }
    session.close();
  },
  // One waits for people; others go on; a line on stdin ends it all.
  async held() {
    const held = ask('DELETE', '/orders/7', {}, 'because');
    for (let number = 0; number < 5; number += 1) await ask('GET', `/beside/${number}`).over;
    await ask('GET', '/large/4').over;
    await held.over;
    session.close();
  },
  // One waits, and its client goes away, but the connection stays.
  async gone() {
    const held = ask('DELETE', '/orders/8', {}, 'perhaps');
    process.stdin.once('data', async () => {
      held.stream.close(http2.constants.NGHTTP2_CANCEL);
      await held.over;
      await ask('GET', '/after').over;
      session.close();
      process.stdin.destroy();
    });
  },
  async refused() {
    await ask('GET', '/secret/a').over;
    await ask('GET', '/a', { authorization: 'Basic bm9ib2R5Om5vYm9keQ==' }).over;
    await ask('GET', '/a', { 'x_forwarded_for': '10.0.0.1' }).over;
    await ask('POST', '/pkg.Service/Method', { 'content-type': 'application/grpc' }, 'x').over;
    await ask('GET', '/broken').over;
    await ask('GET', '/good').over;
    session.close();
  },
  // Reads nothing of a large answer for a while; others are not kept from going on.
  async slow() {
    const slow = ask('GET', '/large/8');
    slow.stream.pause();
    for (let number = 0; number < 5; number += 1) await ask('GET', `/beside/${number}`).over;
    slow.stream.resume();
    await slow.over;
    const trailed = ask('POST', '/up', {}, Buffer.alloc(4 << 20, 'y'));
    await trailed.over;
    session.close();
  },
  // Both sides of a call speak in turns; another one has no content at all.
  async grpc() {
    const type = { 'content-type': 'application/grpc', te: 'trailers' };
    const call = ask('POST', '/pkg.Echo/Say', type, null);
    call.stream.write('first,');
    call.stream.once('data', () => call.stream.end('second'));
    await call.over;
    await ask('POST', '/pkg.Echo/Fail', type, 'x').over;
    await ask('POST', '/secret/pkg.Echo/Say', type, 'x').over;
    await ask('GET', '/reset').over;
    await ask('GET', '/empty').over;
    session.close();
  },
  // Stays until weir says good-bye.
  async stays() {
    await ask('GET', '/first').over;
  },
};

scenarios[scenario]();
