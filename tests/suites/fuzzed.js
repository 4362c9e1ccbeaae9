// A client of WebSockets (npm ws) that says again what Autobahn's cases say to it.
//
//   node fuzzed.js URL USER:PASSWORD
const { WebSocket } = require('ws');

const [url, login] = process.argv.slice(2);
const headers = { authorization: `Basic ${Buffer.from(login).toString('base64')}` };
const options = { headers, perMessageDeflate: false, maxPayload: 64 << 20 };

// The last message of a connection, once it is over.
function connect(path, answer) {
  return new Promise((resolve) => {
    let last = '';
    const socket = new WebSocket(`${url}${path}`, options);
    socket.on('message', (data, binary) => {
      last = data;
      if (answer) socket.send(data, { binary });
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(String(last)));
  });
}

(async () => {
  const count = Number(await connect('/getCaseCount', false));
  for (let at = 1; at <= count; at += 1) await connect(`/runCase?case=${at}&agent=ws`, true);
  await connect('/updateReports?agent=ws', false);
})();
