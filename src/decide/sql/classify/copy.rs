//! COPY: its direction, its relation, and the layout of its data.
//!
//! In: a COPY statement. Out: a class, and `Consequence::Copy` if the data passes here.
//! Never: a layout that is guessed: with an option that is not understood the class is `Unknown`.

use pg_query::NodeEnum;
use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{CopyStmt, DefElem, Node};

use super::super::{Class, Consequence, Copy, CopyFormat};
use super::functions::changes_parsing;
use crate::decide::Object;

pub(super) fn copy(copy: &CopyStmt) -> (Class, Consequence) {
    if copy.is_program {
        return (Class::CopyProgram, Consequence::None);
    }
    if !copy.filename.is_empty() {
        return (Class::CopyFile, Consequence::None);
    }
    let Some(format) = format(copy) else { return (Class::Unknown, Consequence::None) };
    let relation = copy.relation.as_ref().map(|relation| match relation.schemaname.as_str() {
        "" => Object::bare(&*relation.relname, copy.is_from),
        schema => Object::within(schema, &*relation.relname, copy.is_from),
    });
    let columns = copy.attlist.iter().filter_map(|name| match &name.node {
        Some(NodeEnum::String(name)) => Some(name.sval.clone()),
        _ => None,
    });
    let class = if copy.is_from { Class::Write } else { Class::Read };
    let effect = Copy { from_client: copy.is_from, relation, columns: columns.collect(), format };
    (class, Consequence::Copy(effect))
}

/// Options as written; PostgreSQL's old syntax (`WITH CSV HEADER`) comes out of the parser alike.
#[derive(Default)]
struct Options {
    format: Option<String>,
    delimiter: Option<u8>,
    quote: Option<u8>,
    escape: Option<u8>,
    null: Option<Vec<u8>>,
    header: bool,
}

fn format(copy: &CopyStmt) -> Option<CopyFormat> {
    let mut options = Options::default();
    for node in &copy.options {
        let (name, value) = option(node)?;
        read_option(&mut options, &name, &value)?;
    }
    match options.format.as_deref().unwrap_or("text") {
        "text" => Some(CopyFormat::Text {
            delimiter: options.delimiter.unwrap_or(b'\t'),
            null: options.null.unwrap_or_else(|| b"\\N".to_vec()),
            header: options.header,
        }),
        "csv" => {
            let quote = options.quote.unwrap_or(b'"');
            Some(CopyFormat::Csv {
                delimiter: options.delimiter.unwrap_or(b','),
                quote,
                escape: options.escape.unwrap_or(quote),
                null: options.null.unwrap_or_default(),
                header: options.header,
            })
        }
        "binary" => Some(CopyFormat::Binary),
        _ => None,
    }
}

/// `None` for an option that is not known, or a value that no server takes.
fn read_option(options: &mut Options, name: &str, value: &Value) -> Option<()> {
    match name {
        "format" => options.format = Some(text(value)?),
        "delimiter" => options.delimiter = Some(byte(value)?),
        "quote" => options.quote = Some(byte(value)?),
        "escape" => options.escape = Some(byte(value)?),
        "null" => options.null = Some(text(value)?.into_bytes()),
        // `HEADER match` has a header line too.
        "header" => {
            let matching =
                matches!(value, Value::Constant(text) if text.eq_ignore_ascii_case("match"));
            options.header = matching || is_on(value);
        }
        // Data in an encoding where delimiters may be halves of characters cannot be cut.
        "encoding" if changes_parsing("client_encoding", &text(value)?) => return None,
        "encoding" | "freeze" | "force_quote" | "force_not_null" | "force_null" | "on_error"
        | "log_verbosity" | "reject_limit" | "default" => {}
        _ => return None,
    }
    Some(())
}

/// The value of an option.
pub(super) enum Value {
    /// `OPTION` alone.
    None,
    /// A text, number or boolean.
    Constant(String),
    /// A list or `*`.
    Other,
}

/// Name and value of a `DefElem`.
pub(super) fn option(node: &Node) -> Option<(String, Value)> {
    let Some(NodeEnum::DefElem(element)) = &node.node else { return None };
    let DefElem { defname, arg, .. } = element.as_ref();
    let value = match arg {
        None => Value::None,
        Some(node) => constant(node).map_or(Value::Other, Value::Constant),
    };
    Some((defname.to_ascii_lowercase(), value))
}

/// The text of a constant, however it is wrapped.
pub(super) fn constant(node: &Node) -> Option<String> {
    match node.node.as_ref()? {
        NodeEnum::String(text) => Some(text.sval.clone()),
        NodeEnum::Integer(number) => Some(number.ival.to_string()),
        NodeEnum::Float(number) => Some(number.fval.clone()),
        NodeEnum::Boolean(boolean) => Some(boolean.boolval.to_string()),
        NodeEnum::AConst(constant) => match constant.val.as_ref()? {
            Val::Sval(text) => Some(text.sval.clone()),
            Val::Ival(number) => Some(number.ival.to_string()),
            Val::Fval(number) => Some(number.fval.clone()),
            Val::Boolval(boolean) => Some(boolean.boolval.to_string()),
            Val::Bsval(_) => None,
        },
        _ => None,
    }
}

/// As `defGetBoolean`: the option alone means on. What it does not know counts as on here; the
/// server refuses it.
pub(super) fn is_on(value: &Value) -> bool {
    match value {
        Value::None | Value::Other => true,
        Value::Constant(text) => {
            !["0", "false", "off"].iter().any(|off| text.eq_ignore_ascii_case(off))
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Constant(text) => Some(text.clone()),
        Value::None | Value::Other => None,
    }
}

fn byte(value: &Value) -> Option<u8> {
    match text(value)?.as_bytes() {
        [byte] => Some(*byte),
        _ => None,
    }
}
