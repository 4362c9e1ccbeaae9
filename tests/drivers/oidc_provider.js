// A real OpenID Connect issuer (oidc-provider) over TLS, steered by lines on stdin.
//
//   node oidc_provider.js PORT CERTIFICATE KEY AUTHORITY
//
// Prints "ready", then one line per command:
//   token CLIENT RESOURCE   a token by the client credentials grant, through its token endpoint
//   approve CODE PERSON     walks through the pages a person would, with cookies
//   deny CODE PERSON        the same, up to the button that refuses
//   rotate                  signs with new keys from now on and publishes only those
//   revoke                  takes back what the last refresh token was granted
//   down, up                closes the port, opens it again
//   asked                   how often the key set was read
// It ends when stdin does.
const crypto = require('node:crypto');
const fs = require('node:fs');
const https = require('node:https');
const path = require('node:path');
const readline = require('node:readline');

// Stdout is for answers; the library has advice for production.
console.info = console.error;

const [port, certificate, key, authority] = process.argv.slice(2);
const issuer = `https://localhost:${port}`;
const ca = fs.readFileSync(authority);

// Who a client or an account is. The claims go into access tokens.
const PEOPLE = {
  alice: { email: 'alice@example.com', email_verified: true, groups: ['staff'] },
  dora: { email: 'dora@example.com', email_verified: true, groups: ['dba', 'staff'] },
  daniel: { email: 'daniel@example.com', groups: ['dba'] },
  chief: { email: 'chief@example.com', groups: ['admin'] },
  single: { email: 'single@example.com', groups: 'staff' },
  nobody: { groups: ['staff'] },
  impostor: { email: 'ci-bot', groups: ['dba'] },
};

const RESOURCES = {
  'https://weir.test/': { audience: 'weir', accessTokenTTL: 600 },
  'https://weir.test/short': { audience: 'weir', accessTokenTTL: 1 },
  'https://weir.test/minute': { audience: 'weir', accessTokenTTL: 63 },
  'https://other.test/': { audience: 'other', accessTokenTTL: 600 },
};

// A resource per algorithm, so that each is seen signed by somebody else's library.
const ALGORITHMS =
  ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'EdDSA'];
for (const alg of ALGORITHMS) {
  RESOURCES[`https://weir.test/${alg}`] = {
    audience: 'weir', accessTokenTTL: 600, jwt: { sign: { alg } },
  };
}

function signingKeys() {
  const kinds = [
    ['ec', { namedCurve: 'P-256' }],
    ['ec', { namedCurve: 'P-384' }],
    ['rsa', { modulusLength: 2048 }],
    ['ed25519', {}],
  ];
  return kinds.map(([kind, options]) => {
    const { privateKey } = crypto.generateKeyPairSync(kind, options);
    return { ...privateKey.export({ format: 'jwk' }), kid: crypto.randomUUID(), use: 'sig' };
  });
}

function configuration() {
  const people = Object.keys(PEOPLE).map((name) => ({
    client_id: name,
    client_secret: 'secret-of-a-client-of-the-test-0123456789',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: 'ES256',
  }));
  const device = {
    client_id: 'weir-cli',
    token_endpoint_auth_method: 'none',
    application_type: 'native',
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: 'ES256',
  };
  return {
    clients: [...people, device],
    jwks: { keys: signingKeys() },
    cookies: { keys: ['a cookie key of the test'] },
    scopes: ['openid', 'offline_access'],
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...PEOPLE[id] }) }),
    extraTokenClaims: (ctx, token) => PEOPLE[token.accountId ?? token.clientId],
    rotateRefreshToken: true,
    issueRefreshToken: (ctx, client, code) => code.scopes.has('offline_access'),
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'https://weir.test/',
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: '',
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
          ...RESOURCES[resource],
        }),
      },
    },
  };
}

let Provider;
let handle;
let server;
let asked = 0;
let revoke;

// What is remembered of grants is the library's and outlives an instance.
function renew() {
  const provider = new Provider(issuer, configuration());
  provider.on('server_error', (ctx, error) => console.error('server_error', error));
  provider.on('grant.error', (ctx, error) => console.error('grant.error', error.message));
  provider.on('refresh_token.saved', ({ grantId }) => {
    revoke = () => provider.RefreshToken.revokeByGrantId(grantId);
  });
  handle = provider.callback();
}

function open() {
  const options = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };
  server = https.createServer(options, (request, response) => {
    if (request.url === '/jwks') asked += 1;
    handle(request, response);
  });
  return new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
}

function close() {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(resolve));
}

// One request. `jar` keeps cookies by name; the pages of one login never need two of a name.
function call(method, url, { jar = {}, form, headers = {} } = {}) {
  const body = form ? new URLSearchParams(form).toString() : '';
  const cookie = Object.entries(jar).map(([name, value]) => `${name}=${value}`).join('; ');
  const more = form ? { 'content-type': 'application/x-www-form-urlencoded' } : {};
  const target = new URL(url, issuer);
  const options = {
    method, ca, host: '127.0.0.1', servername: 'localhost', port, agent: false,
    path: target.pathname + target.search,
    headers: { host: `localhost:${port}`, cookie, ...more, ...headers },
  };
  return new Promise((resolve, reject) => {
    const request = https.request(options, (response) => {
      for (const line of response.headers['set-cookie'] ?? []) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
        if (value === '') delete jar[name]; else jar[name] = value;
      }
      let text = '';
      response.on('data', (piece) => { text += piece; });
      response.on('aborted', () => reject(new Error(`${url}: the answer was cut`)));
      response.on('end', () => resolve({ status: response.statusCode, text, response }));
    });
    request.on('error', reject);
    request.setTimeout(10_000, () => request.destroy(new Error(`${url}: no answer`)));
    request.end(body);
  });
}

async function token(client, resource) {
  const secret = Buffer.from(`${client}:secret-of-a-client-of-the-test-0123456789`);
  const { status, text } = await call('POST', '/token', {
    form: { grant_type: 'client_credentials', resource },
    headers: { authorization: `Basic ${secret.toString('base64')}` },
  });
  if (status !== 200) throw new Error(`${status} ${text}`);
  return JSON.parse(text).access_token;
}

function hidden(page, name) {
  const found = new RegExp(`name="${name}" value="([^"]*)"`).exec(page);
  if (!found) throw new Error(`no field ${name} in ${page}`);
  return found[1];
}

async function follow(answer, jar) {
  let at = answer;
  for (let hops = 0; at.status >= 300 && at.status < 400 && hops < 9; hops += 1) {
    at = await call('GET', at.response.headers.location, { jar });
    at.url = at.response.req.path;
  }
  return at;
}

async function person(code, account, denies) {
  const jar = {};
  let page = await call('GET', `/device?user_code=${encodeURIComponent(code)}`, { jar });
  page = await call('POST', '/device', {
    jar, form: { xsrf: hidden(page.text, 'xsrf'), user_code: code },
  });
  const button = denies ? { abort: 'yes' } : { confirm: 'yes' };
  const form = { xsrf: hidden(page.text, 'xsrf'), user_code: code, ...button };
  page = await follow(await call('POST', '/device', { jar, form }), jar);
  for (let step = 0; step < 3 && /name="prompt"/.test(page.text); step += 1) {
    const prompt = hidden(page.text, 'prompt');
    const answers = prompt === 'login' ? { login: account, password: 'any' } : {};
    page = await call('POST', page.url, { jar, form: { prompt, ...answers } });
    page = await follow(page, jar);
  }
  if (page.status !== 200 && !denies) throw new Error(`${page.status} ${page.text}`);
  return 'done';
}

const COMMANDS = {
  token,
  approve: (code, account) => person(code, account, false),
  deny: (code, account) => person(code, account, true),
  rotate: async () => { renew(); return 'done'; },
  down: async () => { await close(); return 'done'; },
  up: async () => { await open(); return 'done'; },
  revoke: async () => { await revoke(); return 'done'; },
  asked: async () => String(asked),
};

async function main() {
  // The library is a module of the newer kind, which NODE_PATH does not find.
  const entry = path.join(process.env.NODE_PATH, 'oidc-provider', 'lib', 'index.js');
  Provider = (await import(entry)).default;
  renew();
  await open();
  console.log('ready');
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, ...words] = line.split(' ');
    try {
      console.log(`ok ${await COMMANDS[name](...words)}`);
    } catch (error) {
      console.log(`error ${String(error.message).replaceAll('\n', ' ')}`);
    }
  }
  process.exit(0);
}

main();
