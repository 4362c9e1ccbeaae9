//! Messages of the connection protocol (RFC 4254), as views into their payloads.
//!
//! In: payloads 80 to 127. Out: fields that borrow from them; whole messages. Never: a guess:
//! what is not understood is `Unknown`, what has too many fields is an error.

use super::Broken;
use super::fields::{Fields, Write};
use super::number;

/// A code of CHANNEL_OPEN_FAILURE: the administrator prohibits it (RFC 4254 section 5.1).
pub const OPEN_PROHIBITED: u32 = 1;
/// The connection to where the channel should lead failed.
pub const OPEN_CONNECT_FAILED: u32 = 2;
/// The kind of channel is not known.
pub const OPEN_UNKNOWN_KIND: u32 = 3;
/// There are too many channels.
pub const OPEN_SHORTAGE: u32 = 4;
/// The stream of extended data that is standard error.
pub const STDERR: u32 = 1;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'b> {
    /// A request of the connection.
    GlobalRequest {
        /// What is asked for.
        name: &'b [u8],
        /// An answer is wanted.
        want_reply: bool,
        /// Fields of the request.
        rest: &'b [u8],
    },
    /// The answer to the oldest global request without one.
    RequestSuccess(&'b [u8]),
    /// The answer to the oldest global request without one.
    RequestFailure,
    /// A new channel.
    ChannelOpen(Open<'b>),
    /// The channel is there.
    OpenConfirmation {
        /// The number by which the opener knows it.
        recipient: u32,
        /// The number by which the sender knows it.
        sender: u32,
        /// What the opener may send at first.
        window: u32,
        /// In one message.
        packet_max: u32,
        /// Fields of the kind.
        rest: &'b [u8],
    },
    /// The channel is not there.
    OpenFailure {
        /// The number by which the opener knows it.
        recipient: u32,
        /// Why.
        code: u32,
        /// Why, in words.
        text: &'b [u8],
    },
    /// The receiver may send more.
    WindowAdjust {
        /// The channel, as its receiver knows it; so in all that follow.
        recipient: u32,
        /// How much more.
        bytes: u32,
    },
    /// Data: standard input or output.
    Data {
        /// The channel.
        recipient: u32,
        /// The bytes.
        bytes: &'b [u8],
    },
    /// Data of another stream.
    ExtendedData {
        /// The channel.
        recipient: u32,
        /// The stream.
        stream: u32,
        /// The bytes.
        bytes: &'b [u8],
    },
    /// No more data from this side.
    Eof {
        /// The channel.
        recipient: u32,
    },
    /// The channel is over for this side.
    Close {
        /// The channel.
        recipient: u32,
    },
    /// A request of a channel.
    ChannelRequest {
        /// The channel.
        recipient: u32,
        /// What is asked for.
        name: &'b [u8],
        /// An answer is wanted.
        want_reply: bool,
        /// Fields of the request.
        rest: &'b [u8],
    },
    /// The answer to the oldest request of the channel without one.
    ChannelSuccess {
        /// The channel.
        recipient: u32,
    },
    /// The answer to the oldest request of the channel without one.
    ChannelFailure {
        /// The channel.
        recipient: u32,
    },
    /// A number that RFC 4254 does not have.
    Unknown(u8),
}

/// A CHANNEL_OPEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<'b> {
    /// The kind of channel.
    pub kind: &'b [u8],
    /// The number by which the opener knows it.
    pub sender: u32,
    /// What the other side may send at first.
    pub window: u32,
    /// In one message.
    pub packet_max: u32,
    /// Fields of the kind.
    pub rest: &'b [u8],
}

impl<'b> Message<'b> {
    /// Reads a payload, its number included.
    ///
    /// # Errors
    /// `Fields` if it has not the fields of its number.
    pub fn parse(payload: &'b [u8]) -> Result<Message<'b>, Broken> {
        let mut fields = Fields::new(payload);
        let message = match fields.u8()? {
            number::GLOBAL_REQUEST => {
                let (name, want_reply) = (fields.string()?, fields.bool()?);
                return Ok(Message::GlobalRequest { name, want_reply, rest: fields.rest() });
            }
            number::REQUEST_SUCCESS => return Ok(Message::RequestSuccess(fields.rest())),
            number::REQUEST_FAILURE => Message::RequestFailure,
            number::CHANNEL_OPEN => {
                let (kind, sender) = (fields.string()?, fields.u32()?);
                let (window, packet_max) = (fields.u32()?, fields.u32()?);
                let rest = fields.rest();
                return Ok(Message::ChannelOpen(Open { kind, sender, window, packet_max, rest }));
            }
            number::CHANNEL_OPEN_CONFIRMATION => {
                let (recipient, sender) = (fields.u32()?, fields.u32()?);
                let (window, packet_max, rest) = (fields.u32()?, fields.u32()?, fields.rest());
                return Ok(Message::OpenConfirmation {
                    recipient,
                    sender,
                    window,
                    packet_max,
                    rest,
                });
            }
            number::CHANNEL_OPEN_FAILURE => {
                let (recipient, code) = (fields.u32()?, fields.u32()?);
                let text = fields.string()?;
                fields.string()?;
                Message::OpenFailure { recipient, code, text }
            }
            number::CHANNEL_WINDOW_ADJUST => {
                Message::WindowAdjust { recipient: fields.u32()?, bytes: fields.u32()? }
            }
            number::CHANNEL_DATA => {
                Message::Data { recipient: fields.u32()?, bytes: fields.string()? }
            }
            number::CHANNEL_EXTENDED_DATA => Message::ExtendedData {
                recipient: fields.u32()?,
                stream: fields.u32()?,
                bytes: fields.string()?,
            },
            number::CHANNEL_EOF => Message::Eof { recipient: fields.u32()? },
            number::CHANNEL_CLOSE => Message::Close { recipient: fields.u32()? },
            number::CHANNEL_REQUEST => {
                let (recipient, name) = (fields.u32()?, fields.string()?);
                let (want_reply, rest) = (fields.bool()?, fields.rest());
                return Ok(Message::ChannelRequest { recipient, name, want_reply, rest });
            }
            number::CHANNEL_SUCCESS => Message::ChannelSuccess { recipient: fields.u32()? },
            number::CHANNEL_FAILURE => Message::ChannelFailure { recipient: fields.u32()? },
            number => return Ok(Message::Unknown(number)),
        };
        fields.end()?;
        Ok(message)
    }

    /// Writes the message as its peer would have.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        match *self {
            Message::GlobalRequest { name, want_reply, rest } => {
                out.put_u8(number::GLOBAL_REQUEST).put_string(name).put_bool(want_reply);
                out.put_bytes(rest)
            }
            Message::RequestSuccess(rest) => out.put_u8(number::REQUEST_SUCCESS).put_bytes(rest),
            Message::RequestFailure => out.put_u8(number::REQUEST_FAILURE),
            Message::ChannelOpen(Open { kind, sender, window, packet_max, rest }) => {
                out.put_u8(number::CHANNEL_OPEN).put_string(kind).put_u32(sender);
                out.put_u32(window).put_u32(packet_max).put_bytes(rest)
            }
            Message::OpenConfirmation { recipient, sender, window, packet_max, rest } => {
                out.put_u8(number::CHANNEL_OPEN_CONFIRMATION).put_u32(recipient).put_u32(sender);
                out.put_u32(window).put_u32(packet_max).put_bytes(rest)
            }
            Message::OpenFailure { recipient, code, text } => {
                out.put_u8(number::CHANNEL_OPEN_FAILURE).put_u32(recipient).put_u32(code);
                out.put_string(text).put_string(b"")
            }
            Message::WindowAdjust { recipient, bytes } => {
                out.put_u8(number::CHANNEL_WINDOW_ADJUST).put_u32(recipient).put_u32(bytes)
            }
            Message::Data { recipient, bytes } => {
                out.put_u8(number::CHANNEL_DATA).put_u32(recipient).put_string(bytes)
            }
            Message::ExtendedData { recipient, stream, bytes } => {
                out.put_u8(number::CHANNEL_EXTENDED_DATA).put_u32(recipient).put_u32(stream);
                out.put_string(bytes)
            }
            Message::Eof { recipient } => out.put_u8(number::CHANNEL_EOF).put_u32(recipient),
            Message::Close { recipient } => out.put_u8(number::CHANNEL_CLOSE).put_u32(recipient),
            Message::ChannelRequest { recipient, name, want_reply, rest } => {
                out.put_u8(number::CHANNEL_REQUEST).put_u32(recipient).put_string(name);
                out.put_bool(want_reply).put_bytes(rest)
            }
            Message::ChannelSuccess { recipient } => {
                out.put_u8(number::CHANNEL_SUCCESS).put_u32(recipient)
            }
            Message::ChannelFailure { recipient } => {
                out.put_u8(number::CHANNEL_FAILURE).put_u32(recipient)
            }
            Message::Unknown(number) => out.put_u8(number),
        };
        out
    }
}

impl Message<'_> {
    /// Whether a text of a request or of a new channel has a NUL in it: one that a server takes for
    /// the end of the text. Of a request that weir does not know it is the name alone.
    pub fn has_nul(&self) -> bool {
        match self {
            Message::ChannelRequest { name, rest, .. } => {
                let ask = ChannelAsk::parse(name, rest);
                name.contains(&0) || ask.is_ok_and(|ask| ask.has_nul())
            }
            Message::ChannelOpen(open) => {
                let place = match open.destination() {
                    Ok(Some(Destination::Tcp(host, _))) => host,
                    Ok(Some(Destination::Unix(path))) => path,
                    _ => b"",
                };
                open.kind.contains(&0) || place.contains(&0)
            }
            Message::GlobalRequest { name, rest, .. } => {
                let place = match *name {
                    b"tcpip-forward"
                    | b"cancel-tcpip-forward"
                    | b"streamlocal-forward@openssh.com"
                    | b"cancel-streamlocal-forward@openssh.com" => Fields::new(rest).string(),
                    _ => Ok(&b""[..]),
                };
                name.contains(&0) || place.is_ok_and(|place| place.contains(&0))
            }
            _ => false,
        }
    }
}

/// A request of a channel that weir knows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelAsk<'b> {
    /// A terminal.
    Pty(Pty<'b>),
    /// The size of the terminal changed: columns and rows.
    WindowChange(u32, u32),
    /// A variable of the environment.
    Env(&'b [u8], &'b [u8]),
    /// The user's shell.
    Shell,
    /// A command.
    Exec(&'b [u8]),
    /// A subsystem by its name.
    Subsystem(&'b [u8]),
    /// A signal by its name without `SIG`.
    Signal(&'b [u8]),
    /// The command ended with this status.
    ExitStatus(u32),
    /// The command was ended by this signal.
    ExitSignal(&'b [u8]),
    /// The agent of the client is lent to the target.
    Agent,
    /// The screen of the client is lent to the target.
    X11,
    /// Requests that change nothing a rule could be about, by their names: end of write, break,
    /// flow control, keepalive.
    Passing,
    /// Any other.
    Unknown,
}

/// A pty-req.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pty<'b> {
    /// TERM.
    pub term: &'b [u8],
    /// Columns.
    pub columns: u32,
    /// Rows.
    pub rows: u32,
    /// Encoded modes of the terminal.
    pub modes: &'b [u8],
}

impl<'b> ChannelAsk<'b> {
    /// Reads the fields of a request.
    ///
    /// # Errors
    /// `Fields` if a request that weir knows has others.
    pub fn parse(name: &[u8], rest: &'b [u8]) -> Result<ChannelAsk<'b>, Broken> {
        let mut fields = Fields::new(rest);
        let ask = match name {
            b"pty-req" => {
                let (term, columns, rows) = (fields.string()?, fields.u32()?, fields.u32()?);
                fields.u32()?;
                fields.u32()?;
                ChannelAsk::Pty(Pty { term, columns, rows, modes: fields.string()? })
            }
            b"window-change" => {
                let (columns, rows) = (fields.u32()?, fields.u32()?);
                fields.u32()?;
                fields.u32()?;
                ChannelAsk::WindowChange(columns, rows)
            }
            b"env" => ChannelAsk::Env(fields.string()?, fields.string()?),
            b"shell" => ChannelAsk::Shell,
            b"exec" => ChannelAsk::Exec(fields.string()?),
            b"subsystem" => ChannelAsk::Subsystem(fields.string()?),
            b"signal" => ChannelAsk::Signal(fields.string()?),
            b"exit-status" => ChannelAsk::ExitStatus(fields.u32()?),
            b"exit-signal" => {
                let signal = fields.string()?;
                fields.bool()?;
                fields.string()?;
                fields.string()?;
                ChannelAsk::ExitSignal(signal)
            }
            b"auth-agent-req@openssh.com" => ChannelAsk::Agent,
            b"x11-req" => return Ok(ChannelAsk::X11),
            b"eow@openssh.com" | b"break" | b"xon-xoff" | b"keepalive@openssh.com" => {
                return Ok(ChannelAsk::Passing);
            }
            _ => return Ok(ChannelAsk::Unknown),
        };
        fields.end()?;
        Ok(ask)
    }

    /// The texts that it has.
    fn texts(&self) -> [&'b [u8]; 2] {
        match *self {
            ChannelAsk::Pty(pty) => [pty.term, b""],
            ChannelAsk::Env(name, value) => [name, value],
            ChannelAsk::Exec(text) | ChannelAsk::Subsystem(text) | ChannelAsk::Signal(text) => {
                [text, b""]
            }
            _ => [b"", b""],
        }
    }

    /// Whether a text of it has a NUL in it, which some servers take for its end.
    pub fn has_nul(&self) -> bool {
        self.texts().iter().any(|text| text.contains(&0))
    }

    /// The ECHO mode of a terminal, if its encoded modes say it (RFC 4254 section 8).
    pub fn echoes(modes: &[u8]) -> Option<bool> {
        const ECHO: u8 = 53;
        let mut fields = Fields::new(modes);
        loop {
            let (opcode, value) = (fields.u8().ok()?, fields.u32().ok()?);
            match opcode {
                0 | 160.. => return None,
                ECHO => return Some(value != 0),
                _ => {}
            }
        }
    }
}

/// Where a forward leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination<'b> {
    /// A host and a port.
    Tcp(&'b [u8], u32),
    /// A socket in the file system.
    Unix(&'b [u8]),
}

impl<'b> Open<'b> {
    /// Where a `direct-tcpip` or `direct-streamlocal@openssh.com` channel should lead.
    ///
    /// # Errors
    /// `Fields` if the channel has others; `None` for every other kind.
    pub fn destination(&self) -> Result<Option<Destination<'b>>, Broken> {
        let mut fields = Fields::new(self.rest);
        let found = match self.kind {
            b"direct-tcpip" => {
                let (host, port) = (fields.string()?, fields.u32()?);
                fields.string()?;
                fields.u32()?;
                Destination::Tcp(host, port)
            }
            b"direct-streamlocal@openssh.com" => {
                let path = fields.string()?;
                fields.string()?;
                fields.u32()?;
                Destination::Unix(path)
            }
            _ => return Ok(None),
        };
        fields.end()?;
        Ok(Some(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Vec<u8>> {
        let open = Open { kind: b"session", sender: 3, window: 4, packet_max: 5, rest: b"" };
        [
            Message::GlobalRequest { name: b"keepalive@openssh.com", want_reply: true, rest: b"x" },
            Message::RequestSuccess(b"port"),
            Message::RequestFailure,
            Message::ChannelOpen(open),
            Message::OpenConfirmation {
                recipient: 1,
                sender: 2,
                window: 3,
                packet_max: 4,
                rest: b"",
            },
            Message::OpenFailure { recipient: 1, code: OPEN_PROHIBITED, text: b"no" },
            Message::WindowAdjust { recipient: 1, bytes: 2 },
            Message::Data { recipient: 1, bytes: b"data" },
            Message::ExtendedData { recipient: 1, stream: STDERR, bytes: b"error" },
            Message::Eof { recipient: 1 },
            Message::Close { recipient: 1 },
            Message::ChannelRequest {
                recipient: 1,
                name: b"exec",
                want_reply: true,
                rest: b"\0\0\0\x02ls",
            },
            Message::ChannelSuccess { recipient: 1 },
            Message::ChannelFailure { recipient: 1 },
        ]
        .iter()
        .map(Message::write)
        .collect()
    }

    #[test]
    fn a_message_is_read_as_it_was_written_and_not_when_it_is_cut() {
        for payload in samples() {
            let read = Message::parse(&payload).expect("a message of weir's");
            assert_eq!(read.write(), payload);
            // The rest of these is theirs to read.
            let open_end = matches!(
                read,
                Message::GlobalRequest { .. }
                    | Message::RequestSuccess(_)
                    | Message::ChannelOpen(_)
                    | Message::OpenConfirmation { .. }
                    | Message::ChannelRequest { .. }
            );
            if open_end {
                continue;
            }
            for cut in 0..payload.len() {
                assert!(Message::parse(&payload[..cut]).is_err(), "{read:?} cut at {cut}");
            }
            let longer = [&payload[..], &[0]].concat();
            assert!(Message::parse(&longer).is_err(), "{read:?} with one byte more");
        }
        assert_eq!(Message::parse(&[127]), Ok(Message::Unknown(127)));
        assert_eq!(Message::parse(&[]), Err(Broken::Fields));
    }

    #[test]
    fn requests_are_known_by_name() {
        let mut pty = Vec::new();
        pty.put_string(b"xterm").put_u32(80).put_u32(24).put_u32(0).put_u32(0);
        pty.put_string(&[53, 0, 0, 0, 1, 0]);
        let read = ChannelAsk::parse(b"pty-req", &pty).expect("a pty-req");
        let ChannelAsk::Pty(found) = read else { panic!("{read:?}") };
        assert_eq!((found.term, found.columns, found.rows), (&b"xterm"[..], 80, 24));
        assert_eq!(ChannelAsk::echoes(found.modes), Some(true));
        assert_eq!(ChannelAsk::echoes(&[1, 0, 0, 0, 1, 53, 0, 0, 0, 0, 0]), Some(false));
        assert_eq!(ChannelAsk::echoes(&[1, 0, 0]), None);
        for cut in 0..pty.len() {
            assert!(ChannelAsk::parse(b"pty-req", &pty[..cut]).is_err(), "cut at {cut}");
        }
        let exec = ChannelAsk::parse(b"exec", b"\0\0\0\x02\xff\n");
        assert_eq!(exec, Ok(ChannelAsk::Exec(b"\xff\n")));
        assert_eq!(ChannelAsk::parse(b"exec", b"\0\0\0\x02ls!"), Err(Broken::Fields));
        assert_eq!(ChannelAsk::parse(b"shell", b""), Ok(ChannelAsk::Shell));
        assert_eq!(ChannelAsk::parse(b"exit-status", &[0, 0, 0, 7]), Ok(ChannelAsk::ExitStatus(7)));
        assert_eq!(ChannelAsk::parse(b"new@example.com", b"?"), Ok(ChannelAsk::Unknown));
    }

    #[test]
    fn forwards_say_where_they_lead() {
        let mut rest = Vec::new();
        rest.put_string(b"db").put_u32(5432).put_string(b"127.0.0.1").put_u32(1);
        let kind = b"direct-tcpip";
        let open = Open { kind, sender: 0, window: 0, packet_max: 0, rest: &rest };
        assert_eq!(open.destination(), Ok(Some(Destination::Tcp(b"db", 5432))));
        let short = Open { rest: &rest[..9], ..open };
        assert_eq!(short.destination(), Err(Broken::Fields));
        assert_eq!(Open { kind: b"session", ..open }.destination(), Ok(None));
    }
}
