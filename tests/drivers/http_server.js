// A server of HTTP for tests of weir: says what it was asked, in several framings.
//
//   node http_server.js PORT [CERTIFICATE KEY AUTHORITY]
//
// With a certificate it speaks TLS, takes clients of the authority alone, and says who they are.
const fs = require('fs');
const http = require('http');
const https = require('https');
const crypto = require('crypto');

const port = Number(process.argv[2]);
const [certificate, key, authority] = process.argv.slice(3);

function told(request, parts, length) {
  const { method, url, headers } = request;
  const body = Buffer.concat(parts).toString().slice(0, 200);
  const client = certificate && request.socket.getPeerCertificate().subject.CN;
  const reversed = [...(headers.authorization || '')].reverse().join('');
  return JSON.stringify({ method, url, headers, length, body, client, reversed });
}

// A large answer of so many MiB.
function large(response, mebibytes) {
  const block = Buffer.alloc(1 << 20, 'x');
  response.writeHead(200, { 'content-length': mebibytes << 20 });
  let left = mebibytes;
  const more = () => {
    while (left > 0) {
      left -= 1;
      if (!response.write(block)) {
        response.once('drain', more);
        return;
      }
    }
    response.end();
  };
  more();
}

function events(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  let count = 0;
  const timer = setInterval(() => {
    response.write(`data: ${count}\n\n`);
    count += 1;
    if (count === 3) {
      clearInterval(timer);
      response.end();
    }
  }, 50);
}

// Events until somebody goes.
function ticks(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const timer = setInterval(() => response.write('data: tick\n\n'), 100);
  response.on('close', () => clearInterval(timer));
}

// Numbered events until somebody goes.
function numbers(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  let number = 0;
  const timer = setInterval(() => {
    response.write(`data: number ${number}\n\n`);
    number += 1;
  }, 2);
  response.on('close', () => clearInterval(timer));
}

// What a server of MCP says of a call: its own arguments.
function result(text) {
  const { id, params } = JSON.parse(text);
  const content = [{ type: 'text', text: JSON.stringify(params.arguments) }];
  return JSON.stringify({ jsonrpc: '2.0', id, result: { content } });
}

function answer(request, response) {
  // Reads nothing for a second, then all of it.
  if (request.url === '/late-reader' && !request.late) {
    request.late = true;
    setTimeout(() => answer(request, response), 1000);
    return;
  }
  if (request.url === '/ticks') return ticks(response);
  if (request.url.startsWith('/numbers/')) return numbers(response);
  if (request.url === '/events') return events(response);
  if (request.url.startsWith('/large/')) return large(response, Number(request.url.slice(7)));
  const parts = [];
  let length = 0;
  request.on('data', (data) => {
    length += data.length;
    if (length < 65536) parts.push(data);
  });
  request.on('end', () => {
    const body = Buffer.concat(parts).toString();
    const text = request.url === '/mcp' ? result(body) : told(request, parts, length);
    if (request.url === '/empty') {
      response.writeHead(204);
      response.end();
    } else if (request.url === '/moved') {
      response.writeHead(302, { location: `http://127.0.0.1:${port}/there` });
      response.end();
    } else if (request.url === '/chunked') {
      response.write(text.slice(0, 10));
      setTimeout(() => response.end(text.slice(10)), 20);
    } else if (request.url === '/broken') {
      response.writeHead(200, { 'content-length': 1000 });
      response.write('half');
      setTimeout(() => response.destroy(), 20);
    } else {
      const headers = { 'content-type': 'application/json', 'content-length': text.length };
      response.writeHead(200, headers);
      response.end(text);
    }
  });
  return undefined;
}

const own = certificate && {
  cert: fs.readFileSync(certificate),
  key: fs.readFileSync(key),
  ca: fs.readFileSync(authority),
  requestCert: true,
};
const server = own ? https.createServer(own, answer) : http.createServer(answer);

// Says every frame of up to 125 bytes again.
server.on('upgrade', (request, socket) => {
  const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  const accept = crypto.createHash('sha1').update(key).digest('base64');
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  socket.on('data', (data) => {
    const opcode = data[0] & 15;
    const length = data[1] & 127;
    const mask = data.subarray(2, 6);
    const plain = Buffer.from(data.subarray(6, 6 + length)).map((byte, at) => byte ^ mask[at % 4]);
    socket.write(Buffer.concat([Buffer.from([0x80 | opcode, length]), plain]));
    if (opcode === 8) socket.end();
  });
  socket.on('error', () => {});
});

// A POST on a connection that is just being closed for idling is a 502, and rightly so.
server.keepAliveTimeout = 60000;
server.listen(port, '127.0.0.1');
