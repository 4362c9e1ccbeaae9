//! Every bound of the system, in one place. Units are the last word of a name.

/// A start-up packet with its length (PostgreSQL: `MAX_STARTUP_PACKET_LENGTH` without, pqcomm.h).
pub const STARTUP_PACKET_BYTES_MAX: u32 = 10_004;
/// A password or SASL message before authentication (OIDC tokens are larger than start-up packets).
pub const AUTH_MESSAGE_BYTES_MAX: u32 = 65_536;
/// A token of an issuer, inside of one such message.
pub const TOKEN_BYTES_MAX: usize = 65_000;
/// Groups that a token may name; they are part of every record of the session.
pub const TOKEN_GROUPS_MAX: usize = 256;
/// A name of a person or a group in a token.
pub const NAME_BYTES_MAX: usize = 256;
/// API tokens of weir, of all users: the file of them is written whole for each new one.
pub const API_TOKENS_MAX: usize = 4_096;
/// API tokens of one user.
pub const API_TOKENS_OF_USER_MAX: usize = 64;
/// How long an API token is good at most, and how long unless somebody says otherwise.
pub const API_TOKEN_LIFE_US_MAX: u64 = 366 * 86_400_000_000;
/// The same for whoever does not say.
pub const API_TOKEN_LIFE_US: u64 = 90 * 86_400_000_000;
/// The file of them: some 400 bytes each, names included.
pub const API_TOKENS_BYTES_MAX: u64 = 8 << 20;
/// Keys of one issuer.
pub const ISSUER_KEYS_MAX: usize = 64;
/// A discovery document, a key set or a token answer of an issuer.
pub const ISSUER_ANSWER_BYTES_MAX: u64 = 1 << 20;
/// A token signed by a key that weir does not know waits this long for newer keys.
pub const KEYS_WAIT_US: u64 = 8_000_000;
/// The body of a client's message (PostgreSQL: `PQ_LARGE_MESSAGE_LIMIT` with the length, libpq.h).
pub const CLIENT_MESSAGE_BYTES_MAX: u32 = 0x3fff_fffe - 4;
/// A client has this long from `accept` to a finished login.
pub const LOGIN_TIMEOUT_US: u64 = 30_000_000;
/// The target has this long to accept the connection and finish the login.
pub const DIAL_TIMEOUT_US: u64 = 10_000_000;
/// The longest `connect_timeout` of a target.
pub const CONNECT_TIMEOUT_US_MAX: u64 = 300_000_000;
/// Servers that one target may name.
pub const TARGET_HOSTS_MAX: usize = 16;
/// What a target says between its AuthenticationOk and its first ReadyForQuery is kept until it is
/// clear that its server is used.
pub const LOGIN_ANSWERS_BYTES_MAX: usize = 1 << 20;
/// Connections to a target of the same terms that a shard keeps for the next session.
pub const IDLE_LEGS_MAX: usize = 64;
/// A connection that nobody uses is closed after this time: before the target closes it (nginx,
/// Node and most balancers: 60 s and more).
pub const IDLE_LEG_US: u64 = 50_000_000;
/// A request that must not be sent twice takes none that has waited for longer: its target may just
/// be closing it (gunicorn: 2 s, Node and uvicorn: 5 s).
pub const HTTP_UNSAFE_IDLE_US: u64 = 1_000_000;
/// When a session ends, its last bytes have this long to be taken by the peers.
pub const CLOSE_TIMEOUT_US: u64 = 10_000_000;
/// A peer that has got everything has this long to close its side.
pub const LINGER_TIMEOUT_US: u64 = 2_000_000;
/// SQL text longer than this without its literals is not parsed; its class is `unknown`.
pub const PARSED_TEXT_BYTES_MAX: usize = 1 << 20;
/// Text of more tokens is not parsed either: a parse tree takes about 1 KiB of memory per token,
/// and other sessions of the shard wait meanwhile.
pub const PARSED_TOKENS_MAX: usize = 65_536;
/// A text is parsed on the stack of whom it comes to if its tree takes at most so much of that:
/// threads have 2 MiB.
pub const PARSED_HERE_BYTES: usize = 1 << 20;
/// Text whose tree may be deeper than so many tokens is not read: 4,000 terms of an operator with
/// three tokens each. A stack is made for it, of which a tree that is that deep may touch 128 MiB.
pub const PARSED_STEPS_MAX: usize = 16_384;
/// Nor is text in whose runs of signs (`/*/*/*`, `+-+-+-`) the scanner reads more bytes than this
/// more than once: 10 to 40 ms. One run may be 2,048 bytes long.
pub const SCANNED_AGAIN_BYTES_MAX: usize = 4 << 20;
/// Nor text of more statements: each answer of a text is planned by all its statements.
pub const STATEMENTS_OF_TEXT_MAX: usize = 1_024;
/// A command message (query text, statement text) is held whole up to this size, refused above: one
/// row of the record holds its text, and a segment of the default size such a row.
pub const COMMAND_HELD_BYTES_MAX: u32 = 60 << 20;
/// Large messages that all sessions of a shard hold together, counted once; beyond it a command is
/// refused.
pub const LARGE_BYTES_MAX: usize = 256 << 20;
/// A session that holds no more than this holds nothing large.
pub const SMALL_BYTES_MAX: usize = 2 << 20;
/// A Bind longer than this is streamed, its values recorded in chunks.
pub const BIND_HELD_BYTES_MAX: u32 = 1 << 20;
/// Enough of a long Bind to read its portal and statement names.
pub const BIND_PREFIX_BYTES: u32 = 4096;
/// The body of a message that carries but a name or a reason (Execute, Close, CopyFail) is at most
/// this long (PostgreSQL: `PQ_SMALL_MESSAGE_LIMIT` with the length, libpq.h).
pub const NAME_MESSAGE_BYTES_MAX: u32 = 10_000 - 4;
/// How long an answer waits for the catalog to learn of a relation before its columns are hidden.
pub const CATALOG_WAIT_US: u64 = 10_000_000;
/// Columns of one row of a query in FROM or WITH that are looked through (MaxTupleAttributeNumber).
pub const LINEAGE_COLUMNS_MAX: usize = 1_664;
/// Names of columns that are kept of what the columns of one answer are made of.
pub const LINEAGE_NAMES_MAX: usize = 4_096;
/// Names that are compared to find out what the columns of one text are made of.
pub const LINEAGE_STEPS_MAX: usize = 200_000;
/// Settings of a session that are told to people by name.
pub const SETTINGS_TOLD_MAX: usize = 32;
/// Views below a view that are looked at for what they read.
pub const VIEWS_BELOW_MAX: usize = 256;
/// Relations that a session is remembered to have made; beyond these it waits for the catalog.
pub const MADE_NAMES_MAX: usize = 256;
/// Objects in the definition of a view that are remembered; with more it is of anything.
pub const MADE_SOURCES_MAX: usize = 64;
/// Objects that people who are asked are told of beside those that a command names.
pub const KIN_SHOWN_MAX: usize = 64;
/// A row that has to be masked is held whole up to this size, refused above.
pub const MASKED_ROW_BYTES_MAX: u32 = 16 << 20;
/// A server message that must be understood (errors, descriptions) is held up to this size.
pub const SERVER_HELD_BYTES_MAX: u32 = 64 << 20;
/// A message of the target before its first ReadyForQuery is held up to this size.
pub const LOGIN_MESSAGE_BYTES_MAX: u32 = 64 << 10;
/// Bytes waiting for one peer before the other one is no longer read.
pub const OUTBOX_BYTES_MAX: usize = 256 << 10;
/// Bytes of a client kept while its command is held or its target is dialled.
pub const BACKLOG_BYTES_MAX: usize = 256 << 10;
/// A chunk of captured bytes in one journal entry.
pub const CHUNK_BYTES_MAX: usize = 64 << 10;
/// What one answer keeps, unless the target says otherwise.
pub const CAPTURE_BYTES_DEFAULT: u64 = 1 << 20;
/// Replies outstanding in one session; beyond it the client is not read.
pub const PENDING_REPLIES_MAX: usize = 16_384;
/// Room for replies that an idle session keeps.
pub const PENDING_REPLIES_KEPT: usize = 256;
/// Messages of one client handled in one turn; the next ones wait until others had theirs.
pub const TURN_MESSAGES_MAX: u32 = 256;
/// Prepared statements and portals one session may keep.
pub const STATEMENTS_MAX: usize = 65_536;
/// Bytes of statement texts one session may keep; beyond it a Parse is refused.
pub const STATEMENT_TEXT_BYTES_MAX: usize = 64 << 20;
/// Bytes of values that the named portals of one session may keep; beyond it a Bind is refused.
pub const PORTAL_VALUE_BYTES_MAX: usize = 64 << 20;
/// Classified texts one shard remembers.
pub const CLASSIFIED_TEXTS_MAX: usize = 16_384;
/// Bytes of classified texts one shard remembers.
pub const CLASSIFIED_BYTES_MAX: usize = 32 << 20;
/// SCRAM iterations a target may ask for; more would stall a shard.
pub const SCRAM_ITERATIONS_MAX: u32 = 600_000;
/// Derived SCRAM keys one shard remembers: one per target role, and room for changed passwords.
pub const SALTED_KEYS_MAX: usize = 256;
/// Largest journal segment entry; larger content is chunked before. A segment that is smaller than
/// the default may take less.
pub const ENTRY_BYTES_MAX: usize = 61 << 20;
/// The smallest segment that a configuration may ask for.
pub const SEGMENT_SETTING_BYTES_MIN: u64 = 18 << 20;
/// Size of one journal segment unless the configuration says otherwise.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;
/// A segment with entries is sealed at the latest after this time.
pub const SEGMENT_AGE_US: u64 = 60_000_000;
/// In `write` mode the disk has an entry after this time at the latest, unless the configuration
/// says otherwise.
pub const FLUSH_US_DEFAULT: u64 = 100_000;
/// What a configuration may say instead.
pub const FLUSH_US: std::ops::RangeInclusive<u64> = 5_000..=10_000_000;
/// The name of a gateway in the configuration, as long as a host's label (RFC 1035, 2.3.4).
pub const NODE_BYTES_MAX: usize = 63;
/// Peers wait so long for a segment of the journal before new commands are refused.
pub const JOURNAL_WAIT_US_MAX: u64 = 10_000_000;
/// Sessions have so long to come to rest when weir ends.
pub const DRAIN_US_DEFAULT: u64 = 30_000_000;
/// What a configuration may say instead.
pub const DRAIN_US: std::ops::RangeInclusive<u64> = 0..=3_600_000_000;
/// Answers wait so long for room in the journal before their sessions end.
pub const ANSWER_WAIT_US_DEFAULT: u64 = 600_000_000;
/// What a configuration may say instead.
pub const ANSWER_WAIT_US: std::ops::RangeInclusive<u64> = 1_000_000..=86_400_000_000;
/// A flush begins at once when this much was written since the last one.
pub const FLUSH_BYTES: u64 = 8 << 20;
/// Sessions that wait for the disk may wait this long for others to share the flush.
pub const GATHER_US_MAX: u64 = 500;
/// Fewer bytes than this wait for those behind them that the disk is about to release.
pub const SEND_TOGETHER_BYTES: usize = 16 << 10;
/// What is handed on is sent from where it was received if it is this long; less is copied, and
/// leaves with what other sessions send.
pub const LOAN_BYTES_MIN: usize = 16 << 10;
/// A message that was gathered in a buffer of its own goes on with it if it is this long.
pub const GIFT_BYTES_MIN: usize = 1 << 20;
/// A peer streams once it has said this much while the other one said nothing.
pub const STREAM_BYTES_MIN: usize = 512 << 10;
/// What arrives of a stream is read in pieces of this size.
pub const STREAM_PIECE_BYTES: usize = 48 << 10;
/// Receives of fewer bytes are no part of a stream.
pub const STREAM_PIECE_BYTES_MIN: usize = 4 << 10;
/// The end of a stream waits for at most this long, or an eighth of how long the stream is if that
/// is less.
pub const STREAM_WAIT_US_MAX: u64 = 500;
/// CancelRequests for sessions of other gateways that one shard hands on in a second, counted by
/// connections to targets.
pub const CANCELS_ABROAD_MAX: usize = 64;
/// Commands that wait for approval, per shard.
pub const HELD_COMMANDS_MAX: usize = 16_384;
/// A stage that takes longer than an hour is measured as an hour.
pub const DURATION_US_MAX: u64 = 3_600_000_000;
/// Messages waiting in one mailbox between a shard and the control thread.
pub const MAILBOX_MESSAGES_MAX: usize = 4_096;

// HTTP.
/// The request line (RFC 9112 3 asks for 8,000 at least).
pub const HTTP_LINE_BYTES_MAX: usize = 8 << 10;
/// A head with its line, or what it is decoded to.
pub const HTTP_HEAD_BYTES_MAX: usize = 64 << 10;
/// Fields of one head; in HTTP/2 the crumbs of a cookie are counted each.
pub const HTTP_FIELDS_MAX: usize = 128;
/// The value of one field.
pub const HTTP_VALUE_BYTES_MAX: usize = 32 << 10;
/// A method.
pub const HTTP_METHOD_BYTES_MAX: usize = 32;
/// Interim answers (1xx) before one answer.
pub const HTTP_INTERIM_MAX: u32 = 16;
/// Extensions of one chunk.
pub const HTTP_CHUNK_EXTENSION_BYTES_MAX: usize = 256;
/// Extensions of all chunks of one body.
pub const HTTP_EXTENSIONS_BYTES_MAX: usize = 16 << 10;
/// Trailers of one body.
pub const HTTP_TRAILERS_MAX: usize = 16;
/// Trailers of one body, together.
pub const HTTP_TRAILER_BYTES_MAX: usize = 8 << 10;
/// A head has this long from its first byte, and a new connection until one.
pub const HTTP_HEAD_US: u64 = 10_000_000;
/// A client may be silent for this long between two requests.
pub const HTTP_IDLE_US: u64 = 60_000_000;
/// Between two pieces of an answer's content.
pub const HTTP_PIECE_US: u64 = 60_000_000;
/// Between two pieces of a request's content.
pub const HTTP_BODY_PIECE_US: u64 = 30_000_000;
/// Over so long a request's content has so much, 1 KiB a second, but for calls of gRPC.
pub const HTTP_PACE_US: u64 = 60_000_000;
/// See `HTTP_PACE_US`.
pub const HTTP_PACE_BYTES_MIN: usize = 60 << 10;
/// From the end of a request to the first byte of its answer.
pub const HTTP_FIRST_BYTE_US: u64 = 300_000_000;
/// A stream of events may be silent for so long: MCP's waits for what the server has to say.
pub const HTTP_EVENTS_IDLE_US: u64 = 3_600_000_000;
/// Content that is held whole, because a person or a rule has to see it.
pub const HTTP_HELD_BYTES_MAX: usize = 1 << 20;
/// Content that was handed on, kept for a target of HTTP/2 that did not look at it.
pub const HTTP_AGAIN_BYTES_MAX: usize = 64 << 10;
/// Content of a request that was answered already, read and dropped so that the connection lives.
pub const HTTP_DROPPED_BYTES_MAX: usize = 64 << 10;
/// The same on a stream of HTTP/2, for `LINGER_TIMEOUT_US` at most: clients that send more than
/// they read see the answer before the stream ends, and stop by themselves.
pub const H2_DROPPED_BYTES_MAX: usize = 8 << 20;
/// Identities and targets of one connection, of which each is a session in the record.
pub const HTTP_TENURES_MAX: usize = 16;
/// A WebSocket may be silent for this long.
pub const WEBSOCKET_IDLE_US: u64 = 600_000_000;
/// An event of a stream of server-sent events.
pub const SSE_EVENT_BYTES_MAX: usize = 1 << 20;
/// A message of a WebSocket that is held whole.
pub const WEBSOCKET_MESSAGE_BYTES_MAX: usize = 1 << 20;
// Kubernetes.

/// Parameters of one request: Go reads none of more (net/url, `defaultMaxParams`).
pub const KUBERNETES_PARAMETERS_MAX: usize = 10_000;
/// A watch, a log that is followed or a proxy may be silent for this long: an apiserver ends
/// watches after an hour at most (apiserver, `MinRequestTimeout`).
pub const KUBERNETES_FOLLOW_US: u64 = 7_200_000_000;
/// What a row keeps of each thing that a client says of itself.
pub const KUBERNETES_CLAIM_BYTES: usize = 256;
/// Streams of SPDY that are open on one connection.
pub const KUBERNETES_STREAMS_MAX: usize = 4096;
/// Ports that the row of one connection names.
pub const KUBERNETES_PORTS_MAX: usize = 64;
/// The status at the end of a stream.
pub const KUBERNETES_STATUS_BYTES_MAX: usize = 16 << 10;
/// Subprotocols that one client may offer.
pub const KUBERNETES_SUBPROTOCOLS_MAX: usize = 16;
/// Bytes of a SPDY control frame; data frames are streamed.
pub const SPDY_CONTROL_BYTES_MAX: u32 = 64 << 10;
/// Bytes that the headers of one SPDY frame may inflate to.
pub const SPDY_HEADERS_BYTES_MAX: usize = 64 << 10;
/// Headers of one SPDY frame; Kubernetes sends three.
pub const SPDY_HEADERS_MAX: u32 = 64;
/// Bytes of one event of a watch in protobuf: twice the largest object (etcd takes 1.5 MiB).
pub const KUBERNETES_EVENT_BYTES_MAX: u32 = 3 << 20;
/// The longest body of a request to a cluster, as the apiserver has it (server/config.go).
pub const KUBERNETES_BODY_BYTES_MAX: usize = 3 << 20;
/// The longest message of channels that a client of Kubernetes sends: it is held until it is whole.
pub const KUBERNETES_MESSAGE_BYTES_MAX: usize = 4 << 20;
/// How long a denied stream is denied when the client asks for it in another way.
pub const KUBERNETES_AGAIN_US: u64 = 30_000_000;
/// Denied streams that are remembered.
pub const KUBERNETES_AGAIN_MAX: usize = 1024;

const _: () = assert!(COMMAND_HELD_BYTES_MAX as usize + 65_536 < ENTRY_BYTES_MAX);
const _: () = assert!((ENTRY_BYTES_MAX as u64) + (1 << 20) < SEGMENT_BYTES_DEFAULT);
const _: () = assert!(COMMAND_HELD_BYTES_MAX as usize <= STATEMENT_TEXT_BYTES_MAX);
const _: () = assert!(TOKEN_BYTES_MAX < AUTH_MESSAGE_BYTES_MAX as usize);
const _: () = assert!(KEYS_WAIT_US < LOGIN_TIMEOUT_US);
const _: () = assert!(PARSED_TEXT_BYTES_MAX <= COMMAND_HELD_BYTES_MAX as usize);

// SSH.

/// A list of names in a KEXINIT.
pub const SSH_NAME_LIST_BYTES_MAX: usize = 8 << 10;
/// A packet before the login is over.
pub const SSH_LOGIN_PACKET_BYTES_MAX: u32 = 64 << 10;
/// A packet afterwards (OpenSSH: `PACKET_MAX_SIZE`, packet.c; RFC 4253 section 6.1 asks for 35000).
pub const SSH_PACKET_BYTES_MAX: u32 = 256 << 10;
/// A key exchange that was begun has this long.
pub const SSH_EXCHANGE_TIMEOUT_US: u64 = 30_000_000;
/// Keys are renewed after this time.
pub const SSH_REKEY_AGE_US: u64 = 3_600_000_000;
/// Keys are renewed after this many packets: sequence numbers, which are nonces, have 32 bits.
pub const SSH_REKEY_PACKETS: u64 = 1 << 31;
/// Keys are renewed after this many bytes (RFC 4253 section 9).
pub const SSH_REKEY_BYTES: u64 = 1 << 30;
/// A peer that moved this many bytes since the last exchange may ask for the next one.
pub const SSH_REKEY_FREE_BYTES: u64 = 16 << 10;
/// Exchanges that a peer may ask for without having moved bytes; one more each second. A session
/// that begins has some ten small messages, and OpenSSH's own tests renew keys after every one.
pub const SSH_EXCHANGES_BURST: u32 = 16;
/// Exchanges that a client may ask for before it has proven who it is, beside the first: clients
/// ask for none (OpenSSH: `ssh_packet_need_rekeying`, packet.c).
pub const SSH_LOGIN_EXCHANGES_MAX: u64 = 2;
/// Answers to PINGs that wait for the end of an exchange.
pub const SSH_PONGS_BYTES_MAX: usize = 64 << 10;
/// The name that a client logs in with.
pub const SSH_USER_BYTES_MAX: usize = 256;
/// Keys that a client may ask about without a signature.
pub const SSH_PROBES_MAX: u32 = 32;
/// Proofs of a client that may fail.
pub const SSH_FAILURES_MAX: u32 = 6;
/// Channels of one connection.
pub const SSH_CHANNELS_MAX: usize = 256;
/// Channels that wait to be confirmed.
pub const SSH_OPENING_MAX: usize = 64;
/// Requests that wait for replies, of one channel or of the connection.
pub const SSH_REPLIES_MAX: usize = 64;
/// Variables that a client may send for one channel.
pub const SSH_ENVIRONMENT_MAX: usize = 64;
/// Bytes of them, names and values.
pub const SSH_ENVIRONMENT_BYTES_MAX: usize = 32 << 10;
/// Requests of one connection that wait for approval.
pub const SSH_HOLDS_MAX: usize = 64;
/// Requests of one connection that let its target open channels, remembered to name them.
pub const SSH_LEAVES_MAX: usize = 256;
/// What a client may send behind a command that is held.
pub const SSH_HELD_BYTES_MAX: usize = 256 << 10;
/// Serials, or ranges of them, in a list of revoked certificates, by CA.
pub const KRL_SERIALS_MAX: usize = 1 << 20;
/// What a target of SFTP says before it has told where paths start: VERSION and one NAME.
pub const SFTP_GREETING_BYTES_MAX: usize = 64 << 10;
/// A packet of SFTP (OpenSSH: `SFTP_MAX_MSG_LENGTH`, sftp-common.h, and what its writer adds).
pub const SFTP_PACKET_BYTES_MAX: usize = (256 << 10) + (1 << 10);
/// A request that carries no contents: it is held whole, in a window that may be 24 KiB (dropbear),
/// and holds two paths of 4 KiB at most.
pub const SFTP_REQUEST_BYTES_MAX: usize = 16 << 10;
/// What is kept of a reply: a path of 4 KiB with its attributes.
pub const SFTP_KEPT_BYTES_MAX: usize = 5 << 10;
/// A handle (draft-ietf-secsh-filexfer-02 section 6.2).
pub const SFTP_HANDLE_BYTES_MAX: usize = 256;
/// Requests of one channel that are not answered.
pub const SFTP_REQUESTS_MAX: usize = 1024;
/// Files and folders that are open on one channel.
pub const SFTP_FILES_MAX: usize = 4096;
/// Places of a file that are told apart in its record.
pub const SFTP_RANGES_MAX: usize = 16;
/// Different refusals that a channel hears of on standard error.
pub const SFTP_WORDS_MAX: usize = 16;

// HTTP/2 (RFC 9113), per connection.
/// The table that a decoder learns (SETTINGS_HEADER_TABLE_SIZE).
pub const HPACK_TABLE_BYTES_MAX: u32 = 4 << 10;
/// The payload of a frame (SETTINGS_MAX_FRAME_SIZE): the least that may be announced.
pub const H2_FRAME_BYTES_MAX: u32 = 16 << 10;
/// A field block as it is encoded, all its fragments together.
pub const H2_BLOCK_BYTES_MAX: usize = 64 << 10;
/// CONTINUATION frames of one field block (RUSTSEC-2024-0332).
pub const H2_CONTINUATIONS_MAX: u32 = 8;
/// Streams at a time; one that was reset counts until its work at the target has stopped.
pub const H2_STREAMS_MAX: usize = 100;
/// What a peer may send on one stream before weir has handed it on.
pub const H2_STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// What a peer may send on all streams of a connection before weir has handed it on.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// The time over which floods are counted.
pub const H2_FLOOD_US: u64 = 10_000_000;
/// Streams that the peer resets or has weir reset in that time (CVE-2023-44487, CVE-2025-8671), if
/// they are half of all streams.
pub const H2_RESETS_MAX: u32 = 100;
/// Frames in that time that bring nothing forward.
pub const H2_IDLE_FRAMES_MAX: u32 = 1_000;
/// Acknowledgements that wait to be sent (RUSTSEC-2026-0258).
pub const H2_ACKS_MAX: u32 = 16;
/// Streams that weir has reset, of which frames may still be on their way.
pub const H2_RESETS_REMEMBERED: usize = 128;
/// Heads of requests under way, all streams together.
pub const H2_HEADS_BYTES_MAX: usize = 1 << 20;
/// What waits for the window of a stream before its target is not read any more.
pub const H2_WAITING_BYTES_MAX: usize = 64 << 10;
/// How long a client that was told of the end may open streams, if it does not answer.
pub const H2_LAST_CALL_US: u64 = 1_000_000;

// JSON.
/// Levels of objects and arrays.
pub const JSON_DEPTH_MAX: usize = 64;
/// A key, with its quotes, as it is written.
pub const JSON_KEY_BYTES_MAX: usize = 4 << 10;
/// Segments of a pattern of paths.
pub const JSON_PATTERN_SEGMENTS_MAX: usize = 32;

/// Messages of one JSON-RPC batch.
pub const JSONRPC_BATCH_MAX: usize = 64;
/// The longest time that a client of gRPC waits.
pub const GRPC_TIMEOUT_US_MAX: u64 = 24 * 3_600_000_000;
/// What is left of a call's time, at most, for the answer that it is still held.
pub const GRPC_ANSWER_US: u64 = 250_000;
/// Lists of a text stay whole in its shape up to this length of the shape.
pub const LISTS_WHOLE_BYTES_MAX: usize = 4 << 10;

// Masks in bodies.
/// A token of JSON, a pair of a form, or a find, that is held until it is whole.
pub const MASK_TOKEN_BYTES_MAX: usize = 64 << 10;
/// A text within JSON that is JSON itself, held until it is whole.
pub const MASK_EMBEDDED_BYTES_MAX: usize = 1 << 20;
/// What a value in base64 may be packed around: a release of helm is some hundred KiB.
pub const MASK_PACKED_BYTES_MAX: usize = 8 << 20;
/// Bytes that are inflated for each byte of gzip; manifests take some ten.
pub const MASK_PACKED_RATIO_MAX: usize = 64;
/// Shorter values in base64 are not taken for base64 once more.
pub const MASK_PACKED_BYTES_MIN: usize = 16;
/// How often a value may be packed.
pub const MASK_PACKED_DEPTH_MAX: usize = 4;
/// JSON in texts, in texts of these, in which paths are masked.
pub const MASK_EMBEDDED_DEPTH_MAX: usize = 2;
/// How often escapes are read in what was read out of escapes: JSON in JSON, in an array in text.
pub const MASK_ESCAPES_DEPTH_MAX: usize = 4;
/// Values within values of PostgreSQL that are looked into: rows in arrays in rows.
pub const MASK_VALUE_DEPTH_MAX: usize = 8;
/// Values of one message that are hidden where its texts repeat them; with more, its texts are
/// hidden.
pub const MASK_KNOWN_MAX: usize = 1024;
/// The same in bytes.
pub const MASK_KNOWN_BYTES_MAX: usize = 64 << 10;
/// Shorter values are words of every text, and not looked for.
pub const MASK_KNOWN_TEXT_BYTES_MIN: usize = 4;
/// What is held back of a word without an end: the header of a token is decoded up to 8 KiB.
pub const MASK_WINDOW_BYTES: usize = 9 << 10;
/// What is held back of words: numbers in groups, the first line of a key.
pub const MASK_WORDS_BYTES: usize = 128;
/// What is looked at again of what has left, to know whether a word begins.
pub const MASK_CONTEXT_BYTES: usize = 64;
/// What is held and longer than this is looked at again only when it has grown by an eighth.
pub const MASK_REREAD_BYTES: usize = 4 << 10;

/// What is covered of a token on a terminal whose end comes late.
pub const TERMINAL_TOKEN_BYTES_MAX: usize = 1 << 20;
/// What is covered of a key on a terminal whose end does not come.
pub const TERMINAL_KEY_BYTES_MAX: usize = 16 << 10;

/// Rules of a configuration: a verdict says by a bit for each which of them matched.
pub const RULES_MAX: usize = 512;

const _: () = assert!(RULES_MAX.is_multiple_of(64));

// Approvals.
/// Texts, values and lists of the commands of one shard that wait, together.
pub const HELD_BYTES_MAX: usize = 64 << 20;
/// Commands of one identity that wait at a time, per shard, unless the configuration says
/// otherwise.
pub const ASKS_PER_IDENTITY: u32 = 16;
/// A statement that was denied is refused for this long when it is sent again.
pub const DENIED_US: u64 = 600_000_000;
/// Denied statements that a shard remembers.
pub const DENIED_REMEMBERED_MAX: usize = 4_096;
/// Executions that one approval of a statement may be for, beside the first.
pub const REPEATS_MAX: u32 = 20;
/// How long one approval of a statement may be for.
pub const REPEAT_US_MAX: u64 = 3_600_000_000;
/// Approvals of one session that are for more than one execution.
pub const STANDINGS_MAX: usize = 64;
/// How long a window may be open.
pub const WINDOW_US_MAX: u64 = 8 * 3_600_000_000;
/// Windows that are open at a time.
pub const WINDOWS_MAX: usize = 1_024;
/// Heads of asks in one answer of the API.
pub const ASKS_PAGE_MAX: usize = 200;

/// Wrong passwords for one name from one network before the next one has to wait.
pub const LOGIN_FAILURES_OF_NAME: u32 = 5;
/// The same for all names together.
pub const LOGIN_FAILURES_OF_NETWORK: u32 = 60;
/// A pause after which failures are forgotten.
pub const LOGIN_FAILURES_US: u64 = 600_000_000;
/// The longest that an attempt has to wait.
pub const LOGIN_SHUT_US_MAX: u64 = 60_000_000;
/// Names and networks of which failures are remembered, by each shard.
pub const LOGIN_FAILURES_KEPT: usize = 4_096;
/// What a head shows of a text.
pub const ASK_HEAD_BYTES: usize = 300;
/// Asks that are over, of which links still say what became of them.
pub const ASKS_REMEMBERED_MAX: usize = 4_096;
/// Endpoints that are told.
pub const WEBHOOKS_MAX: usize = 16;
/// Messages that wait for one endpoint.
pub const WEBHOOK_MESSAGES_MAX: usize = 10_000;

// Answers of HTTP and MCP under masks, requests of MCP.
/// Places in one body that `masking_hits` names.
pub const MASK_PLACES_MAX: usize = 256;
/// A line of text that is no JSON, where values are masked by their paths.
pub const MASK_LINE_BYTES_MAX: usize = 4 << 10;
/// The boundary between the parts of a content (RFC 2046 5.1.1).
pub const HTTP_BOUNDARY_BYTES_MAX: usize = 70;
/// The head of one of these parts.
pub const HTTP_PART_HEAD_BYTES_MAX: usize = 16 << 10;
/// An answer that is read whole before it leaves: a list of tools.
pub const HTTP_LIST_BYTES_MAX: usize = 4 << 20;
/// Arguments of one call that rules look at one by one.
pub const MCP_ARGUMENTS_MAX: usize = 1024;
/// What their paths and readings may take beside twice the bytes of all of them.
pub const MCP_ARGUMENT_BYTES_SPARE: usize = 1 << 20;
/// JSON in texts of arguments, in texts of these, that rules look into.
pub const MCP_EMBEDDED_DEPTH_MAX: usize = 2;
/// Definitions of tools that weir remembers, of all targets.
pub const MCP_TOOLS_MAX: usize = 16 << 10;
/// The longest id of an event of MCP: it comes back in a field of a request.
pub const MCP_EVENT_ID_BYTES_MAX: usize = 4 << 10;
/// A client that has closed its side may still read its answer. Whether it does, shows only when it
/// is sent something: so long after its end, and then as often, it is sent what changes no answer.
pub const HTTP_ASK_AFTER_US: u64 = 1_000_000;
/// How often it is then.
pub const HTTP_ASK_EVERY_US: u64 = 10_000_000;
/// How long the client of a held request waits, unless its target says otherwise, before it is told
/// to ask again: shorter than the timeouts of most (60 s).
pub const HTTP_HOLD_WAIT_US: u64 = 50_000_000;
/// The same for a call of MCP whose client is told of progress meanwhile.
pub const MCP_PROGRESS_WAIT_US: u64 = 240_000_000;
/// How often it is: some clients and balancers give up what is silent for 30 s.
pub const MCP_PROGRESS_EVERY_US: u64 = 10_000_000;
/// When it should.
pub const HTTP_RETRY_AFTER_S: u32 = 10;
/// Requests that people are asked about while no client waits, of the process.
pub const HTTP_PARKED_MAX: usize = 1024;

// Lines of terminals, which the sealer derives.
/// Cells of a screen that is played.
pub const LINE_CELLS_MAX: usize = 64 << 10;
/// One line.
pub const LINE_BYTES_MAX: usize = 4 << 10;
/// Terminals whose state is kept from one segment to the next.
pub const LINE_TERMINALS_MAX: usize = 1024;
/// Cells that are kept of one.
pub const LINES_KEPT_CELLS_MAX: usize = 4 << 10;

/// Output of a terminal that is kept before and behind each input once its capture is used up, for
/// the lines that are derived from it.
pub const TERMINAL_NEAR_BYTES: usize = 2 << 10;
/// How much of a terminal is kept so.
pub const TERMINAL_NEAR_BYTES_MAX: u64 = 16 << 20;
