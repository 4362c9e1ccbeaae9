// What grpc-js sees: a line of JSON per check, the same as grpc_client.py.
//
//   node grpc_client.js HOST:PORT AUTHORITY|- USER:PASSWORD [CHECK ..]
const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const [address, authority, login, ...names] = process.argv.slice(2);
const raw = (message) => message;
const OPTIONS = {
  'grpc.max_receive_message_length': 8 << 20,
  'grpc.max_send_message_length': 8 << 20,
  'grpc.enable_http_proxy': 0,
};

function connect(options) {
  const secure = authority === '-'
    ? grpc.credentials.createInsecure()
    : grpc.credentials.createSsl(fs.readFileSync(authority));
  return new grpc.Client(address, secure, { ...OPTIONS, ...options });
}

function metadata(more) {
  const sent = new grpc.Metadata();
  sent.set('authorization', `Basic ${Buffer.from(login).toString('base64')}`);
  for (const [name, value] of more || []) sent.add(name, value);
  return sent;
}

const until = (seconds) => ({ deadline: Date.now() + seconds * 1000 });

// A unary call: its answer, or its error; with what the server said beside it.
function unary(client, name, message, sent = metadata(), options = until(20)) {
  return new Promise((resolve) => {
    const told = {};
    const call = client.makeUnaryRequest(
      `/${name.includes('/') ? name : `weir.Test/${name}`}`, raw, raw, Buffer.from(message), sent,
      options, (error, answer) => {
        setImmediate(() => resolve({ ...told, error, answer }));
      });
    call.on('metadata', (initial) => { told.initial = initial; });
    call.on('status', (status) => { told.trailing = status.metadata; });
  });
}

// A stream of answers: all of them, and how it ended.
function stream(call) {
  return new Promise((resolve) => {
    const heard = [];
    let error = null;
    call.on('data', (data) => heard.push(data));
    call.on('error', (why) => { error = why; });
    call.on('status', () => setImmediate(() => resolve({ heard, error })));
  });
}

function own(metadata) {
  const shown = [];
  for (const name of Object.keys(metadata.getMap()).filter((it) => it.startsWith('x-'))) {
    for (const value of metadata.get(name)) {
      shown.push([name, Buffer.isBuffer(value) ? value.toString('hex') : value]);
    }
  }
  return shown.sort();
}

function failure(error) {
  if (!error) return 'no failure';
  const details = error.metadata.get('grpc-status-details-bin').map((it) => it.toString('hex'));
  return { code: grpc.status[error.code], words: error.details, details };
}

const words = (heard) => heard.map((it) => it.toString());

const client = connect();
const SERVER_STREAM = '/weir.Test/ServerStream';
const answers = (name, message) =>
  client.makeServerStreamRequest(name, raw, raw, Buffer.from(message), metadata(), until(20));

function upload(pieces) {
  return new Promise((resolve) => {
    const call = client.makeClientStreamRequest(
      '/weir.Test/ClientStream', raw, raw, metadata(), until(30),
      (error, answer) => resolve(error ? failure(error) : answer.toString()));
    let at = 0;
    const more = () => {
      while (at < pieces.length) {
        at += 1;
        if (!call.write(pieces[at - 1]) && at < pieces.length) {
          call.once('drain', more);
          return;
        }
      }
      call.end();
    };
    more();
  });
}

function conversation() {
  const call = client.makeBidiStreamRequest('/weir.Test/Bidi', raw, raw, metadata(), until(20));
  let next = 0;
  call.write(Buffer.from('0'));
  call.on('data', () => {
    next += 1;
    if (next < 5) call.write(Buffer.from(String(next)));
    else call.end();
  });
  return stream(call).then(({ heard }) => words(heard));
}

async function takenBack() {
  const done = new Promise((resolve) => {
    const call = client.makeUnaryRequest(
      '/weir.Test/Slow', raw, raw, Buffer.from('20'), metadata(), until(30),
      (error) => resolve(failure(error).code));
    setTimeout(() => call.cancel(), 300);
  });
  return [await done, (await unary(client, 'Stopped', '')).answer.toString()];
}

async function leftInTheMiddle() {
  const call = client.makeBidiStreamRequest('/weir.Test/Bidi', raw, raw, metadata(), until(20));
  call.write(Buffer.from('one'));
  call.once('data', () => call.cancel());
  const { heard, error } = await stream(call);
  return [heard[0].toString(), failure(error).code];
}

async function withMetadata() {
  const sent = metadata([['x-own-a', 'one'], ['x-own-a', 'two'],
    ['x-own-b-bin', Buffer.from([0, 0x80, 0xfe])]]);
  const { answer, initial, trailing } = await unary(client, 'Unary', 'hello', sent);
  return [answer.toString(), own(initial), own(trailing), 'OK'];
}

async function compressed() {
  const text = 'the same words again and again; '.repeat(4000);
  const zipping = connect({ 'grpc.default_compression_algorithm': 2 });
  return (await unary(zipping, 'Unary', text)).answer.toString() === text;
}

async function broken() {
  const { heard, error } = await stream(answers('/weir.Test/FailLate', ''));
  return [failure(error), words(heard)];
}

async function large() {
  const message = Buffer.alloc(4 << 20, Buffer.from(Array.from({ length: 256 }, (_, at) => at)));
  const { answer } = await unary(client, 'Unary', message);
  return [answer.length, answer.equals(message)];
}

async function atOnce() {
  const calls = Array.from({ length: 60 }, (_, at) => unary(client, 'Unary', String(at)));
  return (await Promise.all(calls)).every(({ answer }, at) => answer.toString() === String(at));
}

const said = async (call) => (await call).answer.toString();
const fails = async (call) => failure((await call).error);

const KNOWN = {
  unary: () => said(unary(client, 'Unary', 'hello')),
  nothing: () => said(unary(client, 'Unary', '')),
  metadata: withMetadata,
  'server stream': async () => words((await stream(answers(SERVER_STREAM, '5'))).heard),
  'empty stream': async () => words((await stream(answers(SERVER_STREAM, '0'))).heard),
  'client stream': () => upload(['a', 'bc', ''].map((it) => Buffer.from(it))),
  'no messages': () => upload([]),
  conversation,
  error: () => fails(unary(client, 'Fail', '')),
  'error behind messages': broken,
  'no such method': async () => (await fails(unary(client, 'Nothing', ''))).code,
  deadline: async () => {
    const { code } = await fails(unary(client, 'Slow', '20', metadata(), until(0.4)));
    return [code, await said(unary(client, 'Stopped', ''))];
  },
  'taken back': takenBack,
  'left in the middle': leftInTheMiddle,
  compressed,
  '4 MiB': large,
  '8 MB up': () => upload(Array.from({ length: 80 }, () => Buffer.alloc(100000, 'x'))),
  '3000 messages': async () => {
    const { heard } = await stream(answers(SERVER_STREAM, '3000'));
    return heard.reduce((sum, it) => sum + it.length, 0);
  },
  'too large for the client': async () => {
    const small = connect({ 'grpc.max_receive_message_length': 1000 });
    return (await fails(unary(small, 'Unary', 'x'.repeat(2000)))).code;
  },
  'at once': atOnce,
  pings: () => {
    const pinging = connect({ 'grpc.keepalive_time_ms': 300, 'grpc.keepalive_timeout_ms': 2000,
      'grpc.keepalive_permit_without_calls': 1 });
    return said(unary(pinging, 'Slow', '1.5'));
  },
  'after all': () => said(unary(client, 'Unary', 'bye')),
  // Where weir decides.
  denied: () => fails(unary(client, 'secret/weir.Test/Unary', 'x')),
  held: () => said(unary(client, 'Held', 'please')),
  'held and refused': () => fails(unary(client, 'Held', 'please')),
  'held in a hurry': () => fails(unary(client, 'Held', 'soon', metadata(), until(3))),
  nobody: () => fails(unary(client, 'Unary', 'x', new grpc.Metadata())),
};
const OWN = ['denied', 'held', 'held and refused', 'held in a hurry', 'nobody'];

async function main() {
  const wanted = names.length ? names : Object.keys(KNOWN).filter((name) => !OWN.includes(name));
  for (const check of wanted) {
    let heard;
    try {
      heard = await KNOWN[check]();
    } catch (error) {
      heard = `${error.name}: ${error.message}`;
    }
    console.log(JSON.stringify({ check, said: heard }));
  }
  process.exit(0);
}

main();
