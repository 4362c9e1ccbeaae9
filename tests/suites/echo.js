// A server of WebSockets that says every message again (npm ws, without compression).
//
//   node echo.js PORT
const { WebSocketServer } = require('ws');

const server = new WebSocketServer({ port: Number(process.argv[2]), host: '127.0.0.1',
  perMessageDeflate: false, maxPayload: 64 << 20 });
server.on('connection', (socket) => {
  socket.on('message', (data, binary) => socket.send(data, { binary }));
  socket.on('error', () => {});
});
