// Many event streams at once: says when each has had its events, and how long a request beside them
// takes; ends when its stdin does.
//
//   node event_streams.js URL USER:PASSWORD COUNT
const http = require('http');

const [url, login, count] = process.argv.slice(2);
const headers = { authorization: `Basic ${Buffer.from(login).toString('base64')}` };
const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
const EVENTS = 5;

function stream() {
  return new Promise((resolve, reject) => {
    const request = http.get(`${url}/ticks`, { headers, agent }, (response) => {
      let heard = '';
      response.on('data', (data) => {
        heard += data;
        if (heard.split('\n\n').length > EVENTS) resolve(response.statusCode);
      });
      response.on('error', reject);
      response.on('end', () => reject(new Error('a stream ended')));
    });
    request.on('error', reject);
  });
}

function beside(agent) {
  return new Promise((resolve, reject) => {
    const from = process.hrtime.bigint();
    http.get(`${url}/beside`, { headers, agent }, (response) => {
      response.resume();
      response.on('end', () => resolve(Number(process.hrtime.bigint() - from) / 1e6));
    }).on('error', reject);
  });
}

async function main() {
  const open = [];
  for (let at = 0; at < Number(count); at += 1) {
    open.push(stream());
    // A backlog of connections is the machine's, not weir's.
    if (at % 50 === 49) await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const statuses = await Promise.all(open);
  const times = [];
  const one = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (let at = 0; at < 20; at += 1) times.push(await beside(one));
  times.sort((a, b) => a - b);
  const good = statuses.filter((status) => status === 200).length;
  console.log(JSON.stringify({ good, median_ms: times[10], slowest_ms: times[19] }));
  process.stdin.on('end', () => process.exit(0));
  process.stdin.resume();
}

main().catch((error) => {
  console.log(JSON.stringify({ error: String(error) }));
  process.exit(1);
});
