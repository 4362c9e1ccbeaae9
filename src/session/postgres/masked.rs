//! Messages that can carry a value outside of rows: errors, notices, reported settings,
//! notifications.
//!
//! In: such a message. Out: the same with its texts masked. Never: a field it does not know
//! dropped from a message that needs no mask.

use crate::decide::sql::Plumbing;
use crate::fault::{Fault, Malformed};
use crate::wire::Side;
use crate::wire::postgres::frame::Step;
use crate::wire::postgres::message::error_fields;
use crate::wire::postgres::reply;
use crate::wire::reader::Reader;

use super::beliefs::Answer;
use super::ready::{Ready, server_malformed};
use crate::session::Stage;
use crate::session::postgres::core::Core;

/// Settings whose reported values come from the server's configuration or a fixed list, so they
/// cannot carry a value of a table (postgresql.org/docs/current/protocol-flow.html).
const SAFE_PARAMETERS: [&[u8]; 12] = [
    b"client_encoding",
    b"DateStyle",
    b"default_transaction_read_only",
    b"in_hot_standby",
    b"integer_datetimes",
    b"IntervalStyle",
    b"is_superuser",
    b"scram_iterations",
    b"server_encoding",
    b"server_version",
    b"standard_conforming_strings",
    b"TimeZone",
];

/// SQLSTATE classes whose messages name objects and states, not values: syntax and access (42),
/// connection, transaction and resource states.
const VALUE_FREE_CLASSES: [&[u8]; 13] =
    [b"08", b"0A", b"25", b"26", b"28", b"34", b"3D", b"3F", b"40", b"42", b"53", b"54", b"57"];

impl Ready {
    /// Notices, parameter status and notifications: at any time, in no command's answer.
    pub(super) fn asynchronous(
        &mut self,
        tag: u8,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if tag == b'S' {
            let mut reader = Reader::new(Step::body(frame));
            let (Some(name), Some(value)) = (reader.cstr(), reader.cstr()) else {
                return Err(server_malformed(Malformed::MessageBody));
            };
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            self.beliefs.heard(Answer::Setting(&name, &value))?;
        }
        if tag == b'N' {
            self.begin_answer(stage);
        }
        if self.link.view.is_empty() {
            return self.hand_on(tag, frame, core, stage);
        }
        let body = Step::body(frame);
        let message = match tag {
            b'N' => self.masked_report(tag, body),
            b'S' => self.masked_parameter(body)?,
            _ => self.masked_notification(body)?,
        };
        self.hand_on(tag, &message, core, stage)?;
        let seq = self.answer.seq().unwrap_or(self.last_seq);
        self.record_hits(seq, core, stage)
    }

    /// A notice during an answer is part of what the client saw of it; the rest is in none.
    fn hand_on(
        &mut self,
        tag: u8,
        frame: &[u8],
        core: &mut Core,
        stage: &mut Stage<'_>,
    ) -> Result<(), Fault> {
        if tag == b'N' && self.answer.seq().is_some() {
            return self.deliver(frame, core, stage);
        }
        core.pass(Side::Client, Plumbing::Asynchronous, frame, stage);
        Ok(())
    }

    fn masked_text(&mut self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        if self.link.view.text(text, &mut out, &mut self.text_hits) { out } else { text.to_vec() }
    }

    fn masked_parameter(&mut self, body: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut reader = Reader::new(body);
        let (Some(name), Some(value)) = (reader.cstr(), reader.cstr()) else {
            return Err(server_malformed(Malformed::MessageBody));
        };
        let value = if !self.link.view.masks_columns() || SAFE_PARAMETERS.contains(&name) {
            self.masked_text(value)
        } else {
            // set_config() can put any value of a table here.
            b"***".to_vec()
        };
        let mut message = Vec::new();
        reply::message(&mut message, b'S', |out| {
            out.extend_from_slice(name);
            out.push(0);
            out.extend_from_slice(&value);
            out.push(0);
        });
        Ok(message)
    }

    fn masked_notification(&mut self, body: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut reader = Reader::new(body);
        let (Some(pid), Some(channel), Some(payload)) =
            (reader.bytes(4), reader.cstr(), reader.cstr())
        else {
            return Err(server_malformed(Malformed::MessageBody));
        };
        let payload = if self.link.view.masks_columns() && !payload.is_empty() {
            b"***".to_vec()
        } else {
            self.masked_text(payload)
        };
        let mut message = Vec::new();
        reply::message(&mut message, b'A', |out| {
            out.extend_from_slice(pid);
            out.extend_from_slice(channel);
            out.push(0);
            out.extend_from_slice(&payload);
            out.push(0);
        });
        Ok(message)
    }

    /// An ErrorResponse or NoticeResponse with its texts masked.
    pub(super) fn masked_report(&mut self, tag: u8, body: &[u8]) -> Vec<u8> {
        let sqlstate = error_fields(body).find(|(code, _)| *code == b'C').map_or(&b""[..], |f| f.1);
        let value_free = VALUE_FREE_CLASSES.iter().any(|class| sqlstate.starts_with(class));
        let scrub = self.link.view.scrub_errors() && !value_free;
        let mut fields = Vec::with_capacity(body.len());
        for (code, text) in error_fields(body) {
            let text = match code {
                b'M' if scrub => b"message withheld: this target masks columns".to_vec(),
                b'D' | b'H' | b'W' | b'q' | b'p' | b'P' if scrub => continue,
                b'M' | b'D' | b'H' | b'W' | b'q' => self.masked_text(text),
                _ => text.to_vec(),
            };
            fields.push(code);
            fields.extend_from_slice(&text);
            fields.push(0);
        }
        let mut message = Vec::with_capacity(fields.len() + 6);
        reply::message(&mut message, tag, |out| {
            out.extend_from_slice(&fields);
            out.push(0);
        });
        message
    }
}
