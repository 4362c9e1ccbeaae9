// What the JavaScript client sees of a cluster, one line of JSON each: the same through weir.
//
//   node client.mjs KUBECONFIG NAMESPACE PORT
//
// NAMESPACE has a running pod `web`; behind PORT of the node somebody says `hello from the pod`.
import { createRequire } from 'node:module';
import net from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.env.WEIR_CLIENTS + '/package.json');
const k8s = await import(pathToFileURL(require.resolve('@kubernetes/client-node')));
const [place, namespace, port] = process.argv.slice(2);
const config = new k8s.KubeConfig();
config.loadFromFile(place);
const core = config.makeApiClient(k8s.CoreV1Api);
const coordination = config.makeApiClient(k8s.CoordinationV1Api);

const say = (...facts) => console.log(JSON.stringify(facts));
const named = (name, data) => ({ namespace, body: { metadata: { name }, data } });
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function fails(what, call) {
  try {
    await call();
    say(what, 'no failure');
  } catch (failure) {
    const body = JSON.parse(failure.body);
    say(what, failure.code, body.reason, body.message);
  }
}

async function objects() {
  for (const number of [0, 1, 2]) {
    await core.createNamespacedConfigMap(named(`js-${number}`, { a: String(number) }));
  }
  const listed = await core.listNamespacedConfigMap({ namespace });
  say('listed', listed.items.map((it) => it.metadata.name).filter((it) => it.startsWith('js-')));
  await fails('missing', () => core.readNamespacedConfigMap({ name: 'nothing', namespace }));
  await fails('again', () => core.createNamespacedConfigMap(named('js-0', {})));
  await fails('invalid', () => core.createNamespacedConfigMap(named('Bad_Name', {})));
  say('log', await core.readNamespacedPodLog({ name: 'web', namespace }));
}

// An informer lists, watches, and lists again when it is started once more.
async function informer() {
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  const list = () => core.listNamespacedConfigMap({ namespace });
  const informer = k8s.makeInformer(config, path, list);
  const seen = [];
  for (const verb of ['add', 'update', 'delete']) {
    informer.on(verb, (it) => {
      if (it.metadata.name.startsWith('js-')) seen.push([verb, it.metadata.name, it.data]);
    });
  }
  const until = async (count) => {
    for (let turn = 0; turn < 200 && seen.length < count; turn += 1) await pause(50);
    seen.splice(0).sort().forEach((event) => say('informer', ...event));
  };
  informer.on('error', () => {});
  await informer.start();
  await until(3);
  await pause(500);
  await core.createNamespacedConfigMap(named('js-new', { a: 'new' }));
  await until(1);
  await core.replaceNamespacedConfigMap({ name: 'js-new', ...named('js-new', { a: 'other' }) });
  await until(1);
  await core.deleteNamespacedConfigMap({ name: 'js-new', namespace });
  await until(1);
  await informer.stop();
  await core.deleteNamespacedConfigMap({ name: 'js-2', namespace });
  await informer.start();
  await until(1);
  await informer.stop();
}

function collected() {
  const stream = new PassThrough();
  stream.text = '';
  stream.on('data', (bytes) => { stream.text += bytes; });
  return stream;
}

async function commands() {
  const exec = new k8s.Exec(config);
  const run = (command, stdin, tty) => new Promise((done, failed) => {
    const [stdout, stderr] = [collected(), tty ? null : collected()];
    exec.exec(namespace, 'web', 'web', command, stdout, stderr, stdin, tty, (status) => {
      setTimeout(() => done([stdout.text, stderr?.text, status.status, status.details?.causes]), 200);
    }).catch(failed);
  });
  const shell = ['sh', '-c', 'read line; echo got $line; echo wrong >&2; exit 3'];
  say('exec', ...await run(shell, Readable.from(['typed\n']), false));
  const large = await run(['sh', '-c', 'seq 1 100000'], null, false);
  say('exec large', large[0].length, large[0].slice(-7), large[2]);
  say('exec tty', (await run(['sh', '-c', 'tty >/dev/null && echo terminal'], null, true))[0]);
}

async function forward() {
  const forwarder = new k8s.PortForward(config);
  const server = net.createServer((socket) => {
    forwarder.portForward(namespace, 'web', [Number(port)], socket, null, socket);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const text = await new Promise((done, failed) => {
    const socket = net.connect(server.address().port, '127.0.0.1');
    socket.setTimeout(20000, () => failed(new Error('nothing came')));
    let got = '';
    socket.on('data', (bytes) => {
      got += bytes;
      if (got.length >= 19) { socket.destroy(); done(got); }
    });
    socket.on('error', failed);
  });
  server.close();
  say('forward', text);
}

async function lease() {
  const body = {
    metadata: { name: 'js-lease' },
    spec: { holderIdentity: 'one', leaseDurationSeconds: 15 },
  };
  const made = await coordination.createNamespacedLease({ namespace, body });
  made.spec.holderIdentity = 'two';
  const put = () => coordination.replaceNamespacedLease({ name: 'js-lease', namespace, body: made });
  say('lease', (await put()).spec.holderIdentity);
  // What somebody else holds by now.
  try {
    await put();
    say('lease lost', 'no failure');
  } catch (failure) {
    say('lease lost', failure.code, JSON.parse(failure.body).reason);
  }
  await coordination.deleteNamespacedLease({ name: 'js-lease', namespace });
}

await objects();
await informer();
await commands();
await forward();
await lease();
for (const name of ['js-0', 'js-1']) await core.deleteNamespacedConfigMap({ name, namespace });
process.exit(0);
