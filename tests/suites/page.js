// A page that tries what pages do, and what it heard: fetch, event streams, a WebSocket.
//
//   node page.js PORT RESULTS
//
// The page posts what it heard to /heard, which is a file in RESULTS by the page's query.
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const path = require('path');
const { WebSocketServer } = require('ws');

const [port, results] = process.argv.slice(2);
const PAGE = fs.readFileSync(path.join(__dirname, 'page.html'));

function events(request, response) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  // A client that comes again says which one it heard last.
  const from = Number(request.headers['last-event-id'] || 0);
  let at = from;
  const timer = setInterval(() => {
    at += 1;
    response.write(`id: ${at}\nretry: 50\nevent: ${at % 2 ? 'odd' : 'even'}\ndata: ${at}\n\n`);
    if (at === from + 3) {
      clearInterval(timer);
      response.end();
    }
  }, 20);
}

function answer(request, response) {
  const url = new URL(request.url, 'http://page');
  if (url.pathname === '/page') {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
    return response.end(PAGE);
  }
  if (url.pathname === '/events') return events(request, response);
  const digest = crypto.createHash('sha256');
  const parts = [];
  let length = 0;
  request.on('data', (data) => {
    digest.update(data);
    length += data.length;
    if (url.pathname === '/heard') parts.push(data);
  });
  request.on('end', () => {
    if (url.pathname === '/heard') {
      const name = path.basename(url.search.slice(1));
      fs.writeFileSync(path.join(results, name), Buffer.concat(parts));
    }
    if (url.pathname === '/moved') {
      response.writeHead(302, { location: '/told?moved' });
      return response.end();
    }
    if (url.pathname === '/slow') {
      response.write('first ');
      return setTimeout(() => response.end('second'), 100);
    }
    const told = { method: request.method, url: request.url, length,
      own: request.headers['x-own'], cookie: request.headers.cookie,
      digest: digest.digest('hex') };
    response.setHeader('set-cookie', 'seen=1; Path=/; SameSite=Lax');
    response.setHeader('content-type', 'application/json');
    return response.end(JSON.stringify(told));
  });
  return undefined;
}

const server = http.createServer({ keepAliveTimeout: 60000 }, answer);
const sockets = new WebSocketServer({ server, handleProtocols: (names) => [...names][0] });
sockets.on('connection', (socket) => {
  socket.on('message', (data, binary) => socket.send(data, { binary }));
  socket.on('error', () => {});
});
server.listen(Number(port), '127.0.0.1');
