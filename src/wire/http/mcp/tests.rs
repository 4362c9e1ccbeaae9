//! Calls, mirrors, lists: what goes around them, and what they are.

use super::list::{Tools, canonical};
use super::mirror::{Mirror, check as mirrored};
use super::*;
use crate::wire::http::Head;
use crate::wire::http::head::Version;
use crate::wire::http::jsonrpc::read;

fn calls(body: &str) -> Result<Vec<Call>, Bad> {
    let messages = read(body.as_bytes())?;
    messages.list.iter().map(|message| Call::read(body.as_bytes(), message)).collect()
}

fn call(body: &str) -> Result<Call, Bad> {
    calls(body).map(|mut list| list.remove(0))
}

fn rpc(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

#[test]
fn what_is_called() {
    let body = rpc("tools/call", r#"{"arguments":{"a":[1]},"name":"dr\u006fp"}"#);
    let found = call(&body).unwrap();
    assert_eq!((found.subject, found.name.as_deref()), (Subject::Tool, Some(&b"drop"[..])));
    assert_eq!(raw(body.as_bytes(), found.arguments.unwrap()), br#"{"a":[1]}"#);
    for (method, params, subject, name) in [
        ("resources/read", r#"{"uri":"file:///x"}"#, Subject::Resource, Some("file:///x")),
        ("prompts/get", r#"{"name":"p"}"#, Subject::Prompt, Some("p")),
        ("tasks/cancel", r#"{"taskId":"t"}"#, Subject::Task, Some("t")),
        ("tools/list", r#"{"cursor":"c"}"#, Subject::Session, None),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":"b"}}"#,
            Subject::Prompt,
            Some("p"),
        ),
        (
            "completion/complete",
            r#"{"ref":{"uri":"file:///{x}","type":"ref/resource"}}"#,
            Subject::Resource,
            Some("file:///{x}"),
        ),
        ("Tools/Call", r#"{"name":"x"}"#, Subject::Unknown, None),
        ("tools/call ", r#"{"name":"x"}"#, Subject::Unknown, None),
    ] {
        let found = call(&rpc(method, params)).unwrap();
        assert_eq!(found.subject, subject, "{method}");
        assert_eq!(found.name.as_deref(), name.map(str::as_bytes));
    }
    let answer = call(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).unwrap();
    assert_eq!(answer.subject, Subject::Answer);
}

#[test]
fn a_completion_says_what_it_is_about() {
    for params in [
        r#"{}"#,
        r#"{"ref":"p"}"#,
        r#"{"ref":{"type":"ref/prompt"}}"#,
        r#"{"ref":{"type":"ref/prompt","uri":"p"}}"#,
        r#"{"ref":{"type":"ref/tool","name":"p"}}"#,
        r#"{"ref":{"name":"p"}}"#,
    ] {
        let body = rpc("completion/complete", params);
        assert_eq!(call(&body), Err(Bad::Argument), "{params}");
    }
    let bare = r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete"}"#;
    assert_eq!(call(bare).map(|call| call.subject), Ok(Subject::Unknown));
}

#[test]
fn a_tool_has_a_name_that_no_other_looks_like() {
    for name in ["drop_table", "Drop-Table", "a.b/c9"] {
        assert!(call(&rpc("tools/call", &format!(r#"{{"name":"{name}"}}"#))).is_ok(), "{name}");
    }
    for name in
        [" drop", "drop ", r"drop\n", r"\ufeffdrop", r"drop\u0000", r"dr\u00f6p", "drop:x", "dr op"]
    {
        let body = rpc("tools/call", &format!(r#"{{"name":"{name}"}}"#));
        assert_eq!(call(&body), Err(Bad::Name), "{name}");
    }
}

#[test]
fn meta() {
    let meta = r#"{"name":"x","requestState":"s","_meta":{"progressToken":5,
        "io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
    let body = rpc("tools/call", meta);
    let found = call(&body).unwrap();
    assert_eq!(raw(body.as_bytes(), found.progress_token.unwrap()), b"5");
    assert_eq!(found.version.as_deref(), Some(&b"2026-07-28"[..]));
    assert_eq!(found.state.as_deref(), Some(&b"s"[..]));
}

/// What is the same each time is the same with `_meta` and without, if that says nothing else.
#[test]
fn meta_that_is_new_each_time_is_none() {
    let same = |params: &str| {
        let body = rpc("tools/call", params);
        let found = call(&body).unwrap();
        let (mut rest, mut from) = (Vec::new(), 0);
        for span in found.volatile {
            rest.extend_from_slice(&body.as_bytes()[from..span.start as usize]);
            from = (span.start + span.len) as usize;
        }
        rest.extend_from_slice(&body.as_bytes()[from..]);
        String::from_utf8(rest).unwrap()
    };
    let plain = same(r#"{"name":"x","arguments":{}}"#);
    for meta in ["{}", r#"{"progressToken":5}"#, r#"{ "progressToken" : "a", "baggage":"b" }"#] {
        assert_eq!(same(&format!(r#"{{"name":"x","arguments":{{}},"_meta":{meta}}}"#)), plain);
        assert_eq!(same(&format!(r#"{{"_meta" : {meta} , "name":"x","arguments":{{}}}}"#)), plain);
        assert_eq!(same(&format!(r#"{{"name":"x", "_meta":{meta},"arguments":{{}}}}"#)), plain);
    }
    assert_ne!(same(r#"{"name":"x","arguments":{},"_meta":{"a":1}}"#), plain);
    let more = r#"{"name":"x","arguments":{},"_meta":{"progressToken":1,"a":{}}}"#;
    assert_ne!(same(more), plain);
}

/// A rule by tool sees the whole body, and the name that the target sees.
#[test]
fn names_that_evade() {
    let long = "x".repeat(1 << 20);
    let body = rpc("tools/call", &format!(r#"{{"arguments":{{"a":"{long}"}},"name":"drop"}}"#));
    assert_eq!(call(&body).unwrap().name.as_deref(), Some(&b"drop"[..]));
    for params in [
        r#"{"arguments":{}}"#,
        r#"{"name":""}"#,
        r#"{"name":1}"#,
        r#"{"name":["drop"]}"#,
        r#"{"name":null}"#,
        r#"{"name":"x","arguments":"{}"}"#,
        r#"{"name":"x","_meta":1}"#,
        r#"{"name":"x","_meta":{"progressToken":{}}}"#,
    ] {
        assert_eq!(call(&rpc("tools/call", params)), Err(Bad::Argument), "{params}");
    }
    for params in [
        r#"{"name":"x","Name":"drop"}"#,
        r#"{"NAME":"drop"}"#,
        r#"{"name":"x","name\u0000":"drop"}"#,
        r#"{"name":"x","Argument\u017f":{}}"#,
        r#"{"name":"x","_meta":{"PROGRESSTOKEN":1}}"#,
    ] {
        assert_eq!(call(&rpc("tools/call", params)), Err(Bad::Alias), "{params}");
    }
    assert_eq!(call(&rpc("tools/call", "[\"drop\"]")), Err(Bad::Params));
    assert_eq!(call(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#), Err(Bad::Argument));
    // Within arguments keys are the tool's affair.
    assert!(call(&rpc("tools/call", r#"{"name":"x","arguments":{"Name":1,"NAME":2}}"#)).is_ok());
}

fn head(fields: &[(&str, &str)]) -> Head {
    let mut head = Head::default();
    head.clear(Version::Http11);
    for (name, value) in fields {
        let name = head.append(name.as_bytes()).unwrap();
        let value = head.append(value.as_bytes()).unwrap();
        head.push(name, value, false).unwrap();
    }
    head
}

fn mirror(fields: &[(&str, &str)], body: &str) -> Result<Revision, Mirror> {
    mirrored(&head(fields), body.as_bytes(), &calls(body).unwrap())
}

#[test]
fn headers_agree_with_the_body() {
    const NEW: (&str, &str) = ("MCP-Protocol-Version", "2026-07-28");
    const OLD: (&str, &str) = ("MCP-Protocol-Version", "2025-06-18");
    const CALL: (&str, &str) = ("Mcp-Method", "tools/call");
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
    let args = r#""arguments":{"region":"eu","count":5,"all":true,"x":{"deep":"no"}}"#;
    let new = rpc("tools/call", &format!(r#"{{"name":"look","{}":1,{args},{meta}}}"#, "z"));
    let good = [NEW, CALL, ("Mcp-Name", "look")];
    let with = |field| [&good[..], &[field]].concat();
    assert_eq!(mirror(&good, &new), Ok(Revision::Stateless));
    for field in [("Mcp-Param-Region", "eu"), ("Mcp-Param-Count", "5"), ("Mcp-Param-All", "true")] {
        assert_eq!(mirror(&with(field), &new), Ok(Revision::Stateless));
    }
    let coded = ("Mcp-Name", "=?base64?bG9vaw==?=");
    assert_eq!(mirror(&[NEW, CALL, coded], &new), Ok(Revision::Stateless));
    for (fields, wrong) in [
        (vec![NEW, CALL], Mirror::Missing),
        (vec![NEW, ("Mcp-Name", "look")], Mirror::Missing),
        (vec![NEW, CALL, ("Mcp-Name", "drop")], Mirror::Mismatch),
        (vec![NEW, CALL, ("Mcp-Name", "Look")], Mirror::Mismatch),
        (vec![NEW, CALL, ("Mcp-Name", "=?base64?ZHJvcA==?=")], Mirror::Mismatch),
        (vec![NEW, CALL, ("Mcp-Name", "=?base64?***?=")], Mirror::Mismatch),
        (vec![NEW, ("Mcp-Method", "tools/list"), ("Mcp-Name", "look")], Mirror::Mismatch),
        (with(("Mcp-Name", "look")), Mirror::Repeated),
        (with(NEW), Mirror::Repeated),
        (with(("Mcp_Name", "drop")), Mirror::Alias),
        (with(("mcp.method", "x")), Mirror::Alias),
        (with(("Mcp-Param-Region", "us")), Mirror::Mismatch),
        (with(("Mcp-Param-Deep", "no")), Mirror::Mismatch),
        (vec![OLD, CALL, ("Mcp-Name", "look")], Mirror::Mismatch),
        (vec![CALL, ("Mcp-Name", "look")], Mirror::Mismatch),
        (vec![("MCP-Protocol-Version", "2027-01-01")], Mirror::Version),
    ] {
        assert_eq!(mirror(&fields, &new), Err(wrong), "{fields:?}");
    }
    // Of the older revisions none is needed, and none may lie.
    let old = rpc("tools/call", &format!(r#"{{"name":"look",{args}}}"#));
    assert_eq!(mirror(&[OLD], &old), Ok(Revision::Handshake));
    assert_eq!(mirror(&[], &old), Ok(Revision::Handshake));
    assert_eq!(mirror(&[OLD, ("Mcp-Name", "drop")], &old), Err(Mirror::Mismatch));
    assert_eq!(mirror(&[NEW, CALL, ("Mcp-Name", "look")], &old), Err(Mirror::Mismatch));
    let list = rpc("tools/list", &format!("{{{meta}}}"));
    assert_eq!(mirror(&[NEW, ("Mcp-Method", "tools/list")], &list), Ok(Revision::Stateless));
    let odd = [NEW, ("Mcp-Method", "tools/list"), ("Mcp-Name", "look")];
    assert_eq!(mirror(&odd, &list), Err(Mirror::Mismatch));
    let batch = format!("[{old},{old}]");
    assert_eq!(mirror(&[], &batch), Ok(Revision::Handshake));
    assert_eq!(mirror(&[("Mcp-Name", "look")], &batch), Err(Mirror::Mismatch));
    let batch = format!("[{new},{new}]");
    assert_eq!(mirror(&good, &batch), Err(Mirror::Batch));
}

#[test]
fn lists_are_filtered_and_hashed() {
    let body = br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[
        {"name":"look","description":"reads","inputSchema":{"type":"object","a":1}},
        {"description":"dr\u006fps","name":"drop","x":1}, {"name":"l\u006fok"}],
        "ttlMs":60000,"cacheScope":"public","nextCursor":"n"}}"#;
    let result = read(body).unwrap().list[0].outcome.unwrap();
    let tools = Tools::read(body, result).unwrap();
    let names: Vec<&[u8]> = tools.list.iter().map(|tool| &tool.name[..]).collect();
    assert_eq!(names, [&b"look"[..], b"drop", b"look"]);
    assert_eq!(tools.list[1].definition, br#"{"description":"drops","name":"drop"}"#);
    let kept = tools.filtered(body, |name| name == b"look");
    let said: serde_json::Value = serde_json::from_slice(&kept).unwrap();
    assert_eq!(said["result"]["tools"].as_array().unwrap().len(), 2);
    assert_eq!(said["result"]["cacheScope"], "private");
    assert_eq!(said["result"]["ttlMs"], 0);
    assert_eq!(said["result"]["nextCursor"], "n");
    let none = tools.filtered(body, |_| false);
    let said: serde_json::Value = serde_json::from_slice(&none).unwrap();
    assert_eq!(said["result"]["tools"], serde_json::json!([]));

    // Another order is the same definition; another word is not.
    let digest = |tool: &str| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tool}]}}}}"#);
        let result = read(body.as_bytes()).unwrap().list[0].outcome.unwrap();
        Tools::read(body.as_bytes(), result).unwrap().list[0].digest
    };
    let one = digest(r#"{"name":"a","inputSchema":{"b":1,"a":[{"y":2,"x":1}]}}"#);
    let same = digest(r#"{"inputSchema":{"a":[{"x":1,"y":2}],"\u0062":1}, "name":"\u0061"}"#);
    let other = digest(r#"{"name":"a","inputSchema":{"b":1,"a":[{"y":1,"x":2}]}}"#);
    assert_eq!(one, same);
    assert_ne!(one, other);
    for wrong in [r#"{"tools":{}}"#, r#"{"Tools":[]}"#, "{}", r#"{"tools":[1]}"#] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{wrong}}}"#);
        let result = read(body.as_bytes()).unwrap().list[0].outcome.unwrap();
        assert!(Tools::read(body.as_bytes(), result).is_err(), "{wrong}");
    }
}

#[test]
fn one_way_to_write_a_value() {
    let text = r#" { "b" : [ 1.50 , true , null , "x\/\u00e9" ] , "a" : { } } "#;
    let expect = "{\"a\":{},\"b\":[1.50,true,null,\"x/\u{e9}\"]}";
    assert_eq!(canonical(text.as_bytes()), Ok(expect.as_bytes().to_vec()));
}

#[test]
fn answers_that_weir_gives() {
    let body = rpc("tools/call", r#"{"name":"drop"}"#);
    let message = read(body.as_bytes()).unwrap().list[0];
    let found = call(&body).unwrap();
    let denied = (Revision::Stateless, reply::DENIED);
    let text = refusal(body.as_bytes(), &message, &found, denied, "not \"drop\"");
    let said: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(said["result"]["isError"], true);
    assert_eq!(said["result"]["resultType"], "complete");
    assert_eq!(said["result"]["content"][0]["text"], "not \"drop\"");
    let body = rpc("resources/read", r#"{"uri":"x"}"#);
    let message = read(body.as_bytes()).unwrap().list[0];
    let found = call(&body).unwrap();
    let text = refusal(body.as_bytes(), &message, &found, denied, "no");
    let said: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(said["error"]["code"], reply::DENIED);
    let told = progress(b"\"t\"", 20, "waits for dba");
    let said: serde_json::Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(said["params"]["progressToken"], "t");
    assert_eq!(said["params"]["progress"], 20);
    assert!(event(&told).ends_with(b"\n\n"));
}
