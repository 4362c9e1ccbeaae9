// A server of HTTP/2 for tests of weir, in clear (prior knowledge) or over TLS: says what it was
// asked, and speaks as much of gRPC as its framing: calls end in trailers.
//
//   node http2_server.js PORT [CERTIFICATE KEY AUTHORITY]
const fs = require('fs');
const http2 = require('http2');

const port = Number(process.argv[2]);
const [certificate, key, authority] = process.argv.slice(3);

// Connections that were made, whoever made them.
let connections = 0;

function large(stream, mebibytes) {
  const block = Buffer.alloc(1 << 20, 'x');
  // Node may end a long answer by RST_STREAM alone; its length says where it ends.
  stream.respond({ ':status': 200, 'content-length': mebibytes << 20 });
  let left = mebibytes;
  const more = () => {
    while (left > 0) {
      left -= 1;
      if (!stream.write(block)) {
        stream.once('drain', more);
        return;
      }
    }
    stream.end();
  };
  more();
}

// Says every message again, as it comes, then how it went.
function echo(stream) {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('data', (data) => stream.write(data));
  stream.on('end', () => stream.end());
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-count': '2' }));
}

function answer(stream, headers) {
  stream.on('error', () => {});
  const path = headers[':path'];
  if (path === '/pkg.Echo/Say') return echo(stream);
  if (path === '/pkg.Echo/Fail') {
    const said = { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '5' };
    return stream.respond(said, { endStream: true });
  }
  if (path === '/reset') return stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
  if (path.startsWith('/large/')) return large(stream, Number(path.slice(7)));
  if (path === '/connections') {
    stream.respond({ ':status': 200 });
    return stream.end(String(connections));
  }
  const parts = [];
  let length = 0;
  stream.on('data', (data) => {
    length += data.length;
    if (length < 65536) parts.push(data);
  });
  stream.on('end', () => {
    const body = Buffer.concat(parts).toString().slice(0, 200);
    stream.respond({ ':status': path === '/empty' ? 204 : 200, 'content-type': 'text/plain' });
    stream.end(path === '/empty' ? undefined : JSON.stringify({ ...headers, length, body }));
  });
  return undefined;
}

const own = certificate && {
  cert: fs.readFileSync(certificate),
  key: fs.readFileSync(key),
  ca: fs.readFileSync(authority),
};
const server = own ? http2.createSecureServer(own) : http2.createServer();
server.on('stream', answer);
server.on('session', () => { connections += 1; });
server.on('sessionError', () => {});
server.listen(port, '127.0.0.1');
