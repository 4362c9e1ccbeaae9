// The server that the MCP conformance suite asks for, by names of its own (`test_simple_text` ..),
// of the official SDK for TypeScript.
//
//   node mcp_server.mjs PORT
import { createRequire } from 'node:module';
import { randomUUID } from 'node:crypto';
import http from 'node:http';

// Modules of NODE_PATH are found by `require` alone.
const require = createRequire(process.env.NODE_PATH + '/x.js');
const { Server } = require('@modelcontextprotocol/sdk/server/index.js');
const { StreamableHTTPServerTransport } =
  require('@modelcontextprotocol/sdk/server/streamableHttp.js');
const types = require('@modelcontextprotocol/sdk/types.js');

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9'
  + 'awAAAABJRU5ErkJggg==';
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=';
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (text) => ({ content: [{ type: 'text', text }] });
const image = { type: 'image', data: PNG, mimeType: 'image/png' };
const inside = (uri, mimeType, text) => ({ type: 'resource', resource: { uri, mimeType, text } });

const one = (title, names) => names.map((name) => ({ const: name, title: `${title} ${name}` }));
const DEFAULTS = {
  name: { type: 'string', default: 'John Doe' },
  age: { type: 'integer', default: 30 },
  score: { type: 'number', default: 95.5 },
  status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
  verified: { type: 'boolean', default: true },
};
const ENUMS = {
  untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
  titledSingle: { type: 'string', oneOf: one('Option', ['value1', 'value2', 'value3']) },
  legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'],
    enumNames: ['Option One', 'Option Two', 'Option Three'] },
  untitledMulti: { type: 'array',
    items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
  titledMulti: { type: 'array', items: { anyOf: one('Choice', ['value1', 'value2', 'value3']) } },
};

async function ask(extra, message, properties) {
  const requestedSchema = { type: 'object', properties, required: [] };
  const params = { message, requestedSchema };
  const answer = await extra.sendRequest(
    { method: 'elicitation/create', params }, types.ElicitResultSchema);
  const content = JSON.stringify(answer.content);
  return say(`Elicitation completed: action=${answer.action}, content=${content}`);
}

// What each tool does.
const TOOLS = {
  test_simple_text: () => say('This is a simple text response for testing.'),
  test_image_content: () => ({ content: [image] }),
  test_audio_content: () => ({ content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }] }),
  test_embedded_resource: () => ({ content: [inside('test://embedded-resource', 'text/plain',
    'This is an embedded resource content.')] }),
  test_multiple_content_types: () => ({ content: [
    { type: 'text', text: 'Multiple content types test:' },
    image,
    inside('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
  ] }),
  test_tool_with_logging: async (_, extra) => {
    for (const data of ['Tool execution started', 'Tool processing data',
      'Tool execution completed']) {
      const params = { level: 'info', logger: 'suite', data };
      await extra.sendNotification({ method: 'notifications/message', params });
      await wait(50);
    }
    return say('logged');
  },
  test_tool_with_progress: async (_, extra) => {
    for (const progress of [0, 50, 100]) {
      const params = { progressToken: extra._meta?.progressToken ?? 0, progress, total: 100 };
      await extra.sendNotification({ method: 'notifications/progress', params });
      await wait(50);
    }
    return say('progressed');
  },
  test_error_handling: () => ({ isError: true,
    ...say('This tool intentionally returns an error for testing') }),
  test_sampling: async ({ prompt }, extra) => {
    const content = { type: 'text', text: prompt };
    const params = { messages: [{ role: 'user', content }], maxTokens: 100 };
    const answer = await extra.sendRequest(
      { method: 'sampling/createMessage', params }, types.CreateMessageResultSchema);
    return say(`LLM response: ${answer.content.text}`);
  },
  test_elicitation: ({ message }, extra) =>
    ask(extra, message, { username: { type: 'string' }, email: { type: 'string' } }),
  test_elicitation_sep1034_defaults: (_, extra) => ask(extra, 'defaults', DEFAULTS),
  test_elicitation_sep1330_enums: (_, extra) => ask(extra, 'enums', ENUMS),
  // The stream ends before the answer, which the client fetches by GET.
  test_reconnection: async (_, extra) => {
    extra.closeSSEStream?.();
    await wait(100);
    return say('Reconnection test completed successfully');
  },
  json_schema_2020_12_tool: () => say('a schema'),
};
const text = { type: 'string' };
const ARGUMENTS = {
  test_sampling: { type: 'object', properties: { prompt: text }, required: ['prompt'] },
  test_elicitation: { type: 'object', properties: { message: text }, required: ['message'] },
  json_schema_2020_12_tool: {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    $defs: { address: { type: 'object', properties: { street: text, city: text } } },
    properties: { name: text, address: { $ref: '#/$defs/address' } },
    additionalProperties: false,
  },
};

const RESOURCES = {
  'test://static-text': { mimeType: 'text/plain', text: 'The content of the static resource.' },
  'test://static-binary': { mimeType: 'image/png', blob: PNG },
  'test://watched-resource': { mimeType: 'text/plain', text: 'Watched resource content' },
};

const user = (content) => ({ role: 'user', content });
const PROMPTS = {
  test_simple_prompt: [[], () => [user({ type: 'text', text: 'This is a simple prompt.' })]],
  test_prompt_with_arguments: [['arg1', 'arg2'], ({ arg1, arg2 }) => [
    user({ type: 'text', text: `Prompt with arguments: arg1='${arg1}', arg2='${arg2}'` })]],
  test_prompt_with_embedded_resource: [['resourceUri'], ({ resourceUri }) => [
    user(inside(resourceUri, 'text/plain', 'Embedded resource content for testing.')),
    user({ type: 'text', text: 'Please process the embedded resource above.' })]],
  test_prompt_with_image: [[], () => [
    user(image), user({ type: 'text', text: 'Please analyze the image above.' })]],
};

function read(uri) {
  const id = /^test:\/\/template\/(.*)\/data$/.exec(uri)?.[1];
  if (id) {
    const data = { id, templateTest: true, data: `Data for ID: ${id}` };
    return { mimeType: 'application/json', text: JSON.stringify(data) };
  }
  return RESOURCES[uri];
}

function lists(server) {
  const on = (schema, answer) => server.setRequestHandler(schema, answer);
  on(types.ListToolsRequestSchema, () => ({ tools: Object.keys(TOOLS).map((name) => ({
    name, description: `Tool ${name}`,
    inputSchema: ARGUMENTS[name] ?? { type: 'object', properties: {} } })) }));
  on(types.ListResourcesRequestSchema, () => ({ resources: Object.entries(RESOURCES).map(
    ([uri, { mimeType }]) => ({ uri, name: uri, description: uri, mimeType })) }));
  on(types.ListResourceTemplatesRequestSchema, () => ({ resourceTemplates: [
    { uriTemplate: 'test://template/{id}/data', name: 'template', description: 'by id' }] }));
  on(types.ListPromptsRequestSchema, () => ({ prompts: Object.entries(PROMPTS).map(
    ([name, [names]]) => ({ name, description: `Prompt ${name}`, arguments: names.map(
      (argument) => ({ name: argument, description: argument, required: true })) })) }));
}

function serve() {
  const capabilities = { tools: { listChanged: true }, logging: {}, completions: {},
    prompts: { listChanged: true }, resources: { subscribe: true, listChanged: true } };
  const server = new Server({ name: 'mcp-conformance-test-server', version: '1.0.0' },
    { capabilities });
  lists(server);
  const on = (schema, answer) => server.setRequestHandler(schema, answer);
  on(types.CallToolRequestSchema, ({ params }, extra) => {
    if (!TOOLS[params.name]) throw new Error(`no tool ${params.name}`);
    return TOOLS[params.name](params.arguments ?? {}, extra);
  });
  on(types.ReadResourceRequestSchema, ({ params: { uri } }) => ({
    contents: [{ uri, ...read(uri) }] }));
  on(types.GetPromptRequestSchema, ({ params }) => ({
    messages: PROMPTS[params.name][1](params.arguments ?? {}) }));
  on(types.CompleteRequestSchema, () => ({ completion: { values: ['test'], total: 1 } }));
  on(types.SubscribeRequestSchema, () => ({}));
  on(types.UnsubscribeRequestSchema, () => ({}));
  on(types.SetLevelRequestSchema, () => ({}));
  return server;
}

// Events of each stream, so that one that broke off goes on.
class Events {
  constructor() { this.all = []; }
  async storeEvent(stream, message) {
    this.all.push({ stream, message });
    return String(this.all.length);
  }
  async getStreamIdForEventId(id) { return this.all[Number(id) - 1]?.stream; }
  async replayEventsAfter(id, { send }) {
    const { stream } = this.all[Number(id) - 1];
    for (let at = Number(id); at < this.all.length; at += 1) {
      if (this.all[at].stream === stream && this.all[at].message.jsonrpc) {
        await send(String(at + 1), this.all[at].message);
      }
    }
    return stream;
  }
}

const sessions = new Map();
const LOCAL = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

async function answer(request, response) {
  const { host, origin } = request.headers;
  if (!LOCAL.test(host) || (origin && !LOCAL.test(new URL(origin).host))) {
    response.writeHead(403);
    return response.end();
  }
  // The suite's own requests name a revision without such events, whose effect they look for.
  const { rawHeaders } = request;
  const old = rawHeaders.findIndex((name) => name.toLowerCase() === 'mcp-protocol-version');
  if (rawHeaders[old + 1] === '2025-03-26') rawHeaders[old + 1] = '2025-11-25';
  let transport = sessions.get(request.headers['mcp-session-id']);
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID, eventStore: new Events(), retryInterval: 500,
      onsessioninitialized: (id) => sessions.set(id, transport),
    });
    await serve().connect(transport);
  }
  return transport.handleRequest(request, response);
}

http.createServer({ keepAliveTimeout: 60000 }, answer).listen(Number(process.argv[2]), '127.0.0.1');
