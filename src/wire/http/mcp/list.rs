//! Answers to `tools/list`: filtered to what the identity may call, each definition with its
//! digest.
//!
//! The digest is SHA-256 of the definition as JSON with sorted keys, without blanks, texts escaped
//! in one way: a server that writes the same in another order has not changed it. Of a definition
//! that is what a model reads: name, title, description, schemas, annotations.

use ring::digest::{SHA256, digest};

use crate::wire::http::head::Span;
use crate::wire::http::json::{self, Token, Walk, text};
use crate::wire::http::jsonrpc::{Bad, members, raw, said};

/// One definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: Vec<u8>,
    /// All of it.
    pub whole: Span,
    /// What is hashed.
    pub definition: Vec<u8>,
    /// SHA-256 of `definition`.
    pub digest: [u8; 32],
}

/// The tools of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// In the order of the server.
    pub list: Vec<Tool>,
    array: Span,
    cache_scope: Option<Span>,
    ttl: Option<Span>,
}

const RESULT: [&str; 3] = ["tools", "cacheScope", "ttlMs"];
const HASHED: [&str; 6] =
    ["annotations", "description", "inputSchema", "name", "outputSchema", "title"];

impl Tools {
    /// Reads the `result` of an answer to `tools/list`.
    ///
    /// # Errors
    /// It is none: it must not be delivered unread.
    pub fn read(body: &[u8], result: Span) -> Result<Tools, Bad> {
        let [tools, cache_scope, ttl] = members(body, result, &RESULT)?;
        let Some((Token::Array, array)) = tools else { return Err(Bad::Argument) };
        let mut list = Vec::new();
        for whole in elements(body, array)? {
            let parts = members(body, whole, &HASHED)?;
            let [.., Some((Token::Text, name)), _, _] = parts else { return Err(Bad::Argument) };
            let definition = definition(body, &parts)?;
            let mut hash = [0; 32];
            hash.copy_from_slice(digest(&SHA256, &definition).as_ref());
            list.push(Tool { name: said(body, name), whole, definition, digest: hash });
        }
        let span = |member: Option<(Token, Span)>| member.map(|(_, span)| span);
        Ok(Tools { list, array, cache_scope: span(cache_scope), ttl: span(ttl) })
    }

    /// The body with those tools alone that `keep` lets stay. What was filtered for one identity
    /// must not be shared by a cache, nor outlive the rules for long.
    pub fn filtered(&self, body: &[u8], keep: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let kept = self.list.iter().filter(|tool| keep(&tool.name));
        let kept: Vec<&[u8]> = kept.map(|tool| raw(body, tool.whole)).collect();
        let list = [b"[", kept.join(&b","[..]).as_slice(), b"]"].concat();
        let mut edits = vec![(self.array, list)];
        edits.extend(self.cache_scope.map(|span| (span, b"\"private\"".to_vec())));
        edits.extend(self.ttl.map(|span| (span, b"0".to_vec())));
        edits.sort_by_key(|(span, _)| span.start);
        let (mut out, mut at) = (Vec::with_capacity(body.len()), 0);
        for (span, replacement) in edits {
            let (start, end) = (span.start as usize, (span.start + span.len) as usize);
            out.extend_from_slice(body.get(at..start).unwrap_or(&[]));
            out.extend_from_slice(&replacement);
            at = end;
        }
        out.extend_from_slice(body.get(at..).unwrap_or(&[]));
        out
    }
}

/// The elements of an array, which is part of a body.
fn elements(body: &[u8], array: Span) -> Result<Vec<Span>, Bad> {
    let (mut found, mut start) = (Vec::new(), 0);
    json::walk::<Bad>(&mut Walk::strict(), raw(body, array), |walk, token, span| {
        match (token, walk.depth()) {
            (Token::Object | Token::Array, 2) => start = span.start,
            (Token::Object | Token::Array, 1) => {}
            (Token::ObjectEnd | Token::ArrayEnd, 1) => {
                found.push(Span { start: array.start + start, len: span.start + 1 - start });
            }
            (_, 1) => found.push(Span { start: array.start + span.start, len: span.len }),
            _ => {}
        }
        Ok(())
    })?;
    Ok(found)
}

/// The parts of `HASHED`, whose order is the sorted one, as one object.
fn definition(body: &[u8], parts: &[Option<(Token, Span)>; 6]) -> Result<Vec<u8>, Bad> {
    let mut out = vec![b'{'];
    for (name, part) in HASHED.iter().zip(parts) {
        let Some((_, span)) = part else { continue };
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(format!("\"{name}\":").as_bytes());
        out.extend_from_slice(&canonical(raw(body, *span))?);
    }
    out.push(b'}');
    Ok(out)
}

/// A container that is being written anew.
enum Open {
    Object(Vec<(Vec<u8>, Vec<u8>)>),
    Array(Vec<Vec<u8>>),
}

/// A value with sorted keys and without blanks; numbers stay as they are written.
pub fn canonical(value: &[u8]) -> Result<Vec<u8>, Bad> {
    // The bottom is the value itself.
    let mut stack = vec![Open::Array(Vec::new())];
    let mut keys: Vec<Vec<u8>> = Vec::new();
    json::walk::<Bad>(&mut Walk::strict(), value, |walk, token, span| {
        let done = match token {
            Token::Object => {
                stack.push(Open::Object(Vec::new()));
                return Ok(());
            }
            Token::Array => {
                stack.push(Open::Array(Vec::new()));
                return Ok(());
            }
            Token::Key => {
                keys.push(walk.key().to_vec());
                return Ok(());
            }
            Token::ObjectEnd | Token::ArrayEnd => match stack.pop() {
                Some(Open::Object(mut members)) => {
                    members.sort();
                    let member = |(key, value): &(Vec<u8>, Vec<u8>)| {
                        [quoted(key).as_slice(), b":", value].concat()
                    };
                    let members: Vec<Vec<u8>> = members.iter().map(member).collect();
                    [b"{", members.join(&b","[..]).as_slice(), b"}"].concat()
                }
                Some(Open::Array(values)) => {
                    [b"[", values.join(&b","[..]).as_slice(), b"]"].concat()
                }
                None => return Err(Bad::Shape),
            },
            Token::Text => quoted(&said(value, span)),
            _ => raw(value, span).to_vec(),
        };
        match stack.last_mut() {
            Some(Open::Object(members)) => members.push((keys.pop().unwrap_or_default(), done)),
            Some(Open::Array(values)) => values.push(done),
            None => return Err(Bad::Shape),
        }
        Ok(())
    })?;
    match stack.pop() {
        Some(Open::Array(mut values)) => values.pop().ok_or(Bad::Shape),
        _ => Err(Bad::Shape),
    }
}

fn quoted(said: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    text::escape(said, &mut out);
    out.push(b'"');
    out
}
