//! A parse tree as plain data: nodes by name, fields by name.
//!
//! In: any node of `pg_query`. Out: `Tree`. Never: a node that is left out: the tree is made by the
//! node's own serialization, so node types that nobody thought of are walked too.

use std::fmt;

use serde::ser::{self, Serialize};

/// A node, a list, or a leaf. Fields with default values are left out.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Node { kind: &'static str, fields: Vec<(&'static str, Tree)> },
    List(Vec<Tree>),
    Text(String),
    Number(i64),
    Nothing,
}

impl Tree {
    /// `None` if a node holds a type that no node has today.
    pub(super) fn of(node: &impl Serialize) -> Option<Tree> {
        node.serialize(Flat).ok()
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Tree::Node { kind, .. } => kind,
            Tree::List(_) | Tree::Text(_) | Tree::Number(_) | Tree::Nothing => "",
        }
    }

    pub(super) fn fields(&self) -> &[(&'static str, Tree)] {
        match self {
            Tree::Node { fields, .. } => fields,
            Tree::List(_) | Tree::Text(_) | Tree::Number(_) | Tree::Nothing => &[],
        }
    }

    pub(super) fn field(&self, name: &str) -> &Tree {
        let found = self.fields().iter().find(|(field, _)| *field == name);
        found.map_or(&Tree::Nothing, |(_, tree)| tree)
    }

    pub(super) fn items(&self) -> &[Tree] {
        match self {
            Tree::List(items) => items,
            // `List` nodes are lists too.
            Tree::Node { kind: "List", .. } => self.field("items").items(),
            Tree::Node { .. } | Tree::Text(_) | Tree::Number(_) | Tree::Nothing => &[],
        }
    }

    /// The text of a leaf, or of a `String` node.
    pub(super) fn text(&self) -> &str {
        match self {
            Tree::Text(text) => text,
            Tree::Node { kind: "String", .. } => self.field("sval").text(),
            Tree::Node { .. } | Tree::List(_) | Tree::Number(_) | Tree::Nothing => "",
        }
    }

    pub(super) fn number(&self) -> i64 {
        match self {
            Tree::Number(number) => *number,
            Tree::Node { .. } | Tree::List(_) | Tree::Text(_) | Tree::Nothing => 0,
        }
    }

    fn is_default(&self) -> bool {
        match self {
            Tree::Nothing | Tree::Number(0) => true,
            Tree::Text(text) => text.is_empty(),
            Tree::List(items) => items.is_empty(),
            Tree::Node { .. } | Tree::Number(_) => false,
        }
    }
}

#[derive(Debug)]
struct Unsupported;

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a type that parse trees do not have")
    }
}

impl std::error::Error for Unsupported {}

impl ser::Error for Unsupported {
    fn custom<T: fmt::Display>(_: T) -> Unsupported {
        Unsupported
    }
}

#[derive(Clone, Copy)]
struct Flat;

struct Items(Vec<Tree>);

struct Fields {
    kind: &'static str,
    fields: Vec<(&'static str, Tree)>,
}

macro_rules! numbers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<Tree, Unsupported> {
            Ok(Tree::Number(value as i64))
        })*
    };
}

impl ser::Serializer for Flat {
    type Ok = Tree;
    type Error = Unsupported;
    type SerializeSeq = Items;
    type SerializeTuple = ser::Impossible<Tree, Unsupported>;
    type SerializeTupleStruct = ser::Impossible<Tree, Unsupported>;
    type SerializeTupleVariant = ser::Impossible<Tree, Unsupported>;
    type SerializeMap = ser::Impossible<Tree, Unsupported>;
    type SerializeStruct = Fields;
    type SerializeStructVariant = ser::Impossible<Tree, Unsupported>;

    numbers!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_f32: f32, serialize_f64: f64, serialize_char: char);

    fn serialize_str(self, value: &str) -> Result<Tree, Unsupported> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Tree, Unsupported> {
        Err(Unsupported)
    }

    fn serialize_none(self) -> Result<Tree, Unsupported> {
        Ok(Tree::Nothing)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Tree, Unsupported> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Tree, Unsupported> {
        Ok(Tree::Nothing)
    }

    fn serialize_unit_struct(self, kind: &'static str) -> Result<Tree, Unsupported> {
        Ok(Tree::Node { kind, fields: Vec::new() })
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
    ) -> Result<Tree, Unsupported> {
        Ok(Tree::Number(i64::from(index)))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Tree, Unsupported> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<Tree, Unsupported> {
        // The variant has the name of the struct inside.
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Items, Unsupported> {
        Ok(Items(Vec::with_capacity(length.unwrap_or(0))))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Unsupported> {
        Err(Unsupported)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Unsupported> {
        Err(Unsupported)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unsupported> {
        Err(Unsupported)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unsupported> {
        Err(Unsupported)
    }

    fn serialize_struct(self, kind: &'static str, _: usize) -> Result<Fields, Unsupported> {
        Ok(Fields { kind, fields: Vec::new() })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unsupported> {
        Err(Unsupported)
    }
}

impl ser::SerializeSeq for Items {
    type Ok = Tree;
    type Error = Unsupported;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsupported> {
        self.0.push(value.serialize(Flat)?);
        Ok(())
    }

    fn end(self) -> Result<Tree, Unsupported> {
        Ok(Tree::List(self.0))
    }
}

impl ser::SerializeStruct for Fields {
    type Ok = Tree;
    type Error = Unsupported;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unsupported> {
        let tree = value.serialize(Flat)?;
        if !tree.is_default() {
            self.fields.push((name, tree));
        }
        Ok(())
    }

    fn end(mut self) -> Result<Tree, Unsupported> {
        // `Node` is a wrapper around the one node in it.
        if self.kind == "Node" {
            return Ok(self.fields.pop().map_or(Tree::Nothing, |(_, tree)| tree));
        }
        Ok(Tree::Node { kind: self.kind, fields: self.fields })
    }
}
