//! Classes of commands: one table per protocol, sets of them, and the words of rules for them.
//!
//! In: the tables that each protocol states. Out: `ClassSet`, `Commands`.
//! Never: a class outside of a table; a word of a rule that means nothing.
//!
//! | column of a table | meaning |
//! |---|---|
//! | name | in rules and records |
//! | follows any allow | a rule that allows anything at a target allows this too |
//! | must be named | a rule allows it only by naming it: leaving `commands` out is not enough |

use super::{http, kubernetes, sql, ssh};
use crate::wire::Protocol;

/// One row of a protocol's table of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassRow {
    /// The name in rules and records.
    pub name: &'static str,
    /// It needs no rule of its own.
    pub follows_any_allow: bool,
    /// It needs a rule that names it.
    pub must_be_named: bool,
}

impl ClassRow {
    /// A class that rules allow by name or by leaving `commands` out.
    pub const fn plain(name: &'static str) -> ClassRow {
        ClassRow { name, follows_any_allow: false, must_be_named: false }
    }

    /// A class without which nobody could use what is allowed.
    pub const fn follows(name: &'static str) -> ClassRow {
        ClassRow { name, follows_any_allow: true, must_be_named: false }
    }

    /// A class that goes past masks or past the record.
    pub const fn named(name: &'static str) -> ClassRow {
        ClassRow { name, follows_any_allow: false, must_be_named: true }
    }
}

/// Declares the classes of a protocol and their table, a row per class.
macro_rules! classes {
    (
        $(#[$about:meta])*
        pub enum $class:ident {
            $( $(#[$doc:meta])* $variant:ident = $row:ident($name:literal), )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $class {
            $( $(#[$doc])* $variant, )+
        }

        impl $class {
            /// Every class, in the order of the table.
            pub const ALL: &'static [$class] = &[ $( $class::$variant, )+ ];

            /// The table, in the order of `ALL`.
            pub const TABLE: &'static [$crate::decide::ClassRow] =
                &[ $( $crate::decide::ClassRow::$row($name), )+ ];

            /// The name in rules and records.
            pub const fn name(self) -> &'static str {
                match self {
                    $( $class::$variant => $name, )+
                }
            }

            /// The set of this class alone.
            pub const fn only(self) -> $crate::decide::ClassSet {
                $crate::decide::ClassSet::of(self as u32)
            }
        }

        impl From<$class> for $crate::decide::ClassSet {
            fn from(class: $class) -> $crate::decide::ClassSet {
                class.only()
            }
        }

        const _: () = assert!($class::TABLE.len() <= $crate::decide::ClassSet::CLASSES_MAX);
    };
}

pub(in crate::decide) use classes;

/// The table of a protocol.
pub const fn table(protocol: Protocol) -> &'static [ClassRow] {
    match protocol {
        Protocol::Postgres => sql::Class::TABLE,
        Protocol::Http => http::Class::TABLE,
        Protocol::Ssh => ssh::Class::TABLE,
        Protocol::Kubernetes => kubernetes::Class::TABLE,
    }
}

/// Classes of one protocol, a bit per row of its table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClassSet(u64);

impl ClassSet {
    /// Rows that a table may have.
    pub const CLASSES_MAX: usize = 64;
    /// No class.
    pub const NONE: ClassSet = ClassSet(0);

    /// The class of a row.
    pub const fn of(row: u32) -> ClassSet {
        ClassSet(1 << row)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: ClassSet) -> ClassSet {
        ClassSet(self.0 | other.0)
    }

    /// Those that are in both.
    #[must_use]
    pub const fn common(self, other: ClassSet) -> ClassSet {
        ClassSet(self.0 & other.0)
    }

    /// Those that are not in the other.
    #[must_use]
    pub const fn without(self, other: ClassSet) -> ClassSet {
        ClassSet(self.0 & !other.0)
    }

    /// Whether a class is among them.
    pub fn has(self, class: impl Into<ClassSet>) -> bool {
        !self.common(class.into()).is_empty()
    }

    /// Whether this is the only one.
    pub fn is_only(self, class: impl Into<ClassSet>) -> bool {
        self == class.into()
    }

    /// Their names, in the order of the protocol's table.
    pub fn names(self, protocol: Protocol) -> impl Iterator<Item = &'static str> {
        let rows = table(protocol).iter().zip(0..);
        rows.filter(move |(_, row)| self.has(ClassSet::of(*row))).map(|(row, _)| row.name)
    }

    /// Their names as a list for people.
    pub fn words(self, protocol: Protocol) -> String {
        self.names(protocol).collect::<Vec<_>>().join(", ")
    }

    /// All rows of a table that a test holds for.
    fn whose(protocol: Protocol, test: impl Fn(&ClassRow) -> bool) -> ClassSet {
        let rows = table(protocol).iter().zip(0..).filter(|(row, _)| test(row));
        rows.fold(ClassSet::NONE, |set, (_, row)| set.and(ClassSet::of(row)))
    }

    /// Every class of a protocol.
    pub fn all(protocol: Protocol) -> ClassSet {
        ClassSet::whose(protocol, |_| true)
    }

    /// Classes that follow any allow.
    pub fn following(protocol: Protocol) -> ClassSet {
        ClassSet::whose(protocol, |row| row.follows_any_allow)
    }

    /// Classes that a rule has to name to allow them.
    pub fn to_be_named(protocol: Protocol) -> ClassSet {
        ClassSet::whose(protocol, |row| row.must_be_named)
    }
}

impl FromIterator<ClassSet> for ClassSet {
    fn from_iter<I: IntoIterator<Item = ClassSet>>(sets: I) -> ClassSet {
        sets.into_iter().fold(ClassSet::NONE, ClassSet::and)
    }
}

/// The classes that a rule names, per protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    words: Vec<String>,
    sets: [ClassSet; Protocol::ALL.len()],
}

/// Why a word of `commands` means nothing: what could stand there instead.
pub type NoSuchClass = Vec<String>;

impl Commands {
    /// Adds `read` (that class in every protocol that has it) or `ssh:exec` (in that one).
    ///
    /// # Errors
    /// Nothing has that name; what does is returned.
    pub fn add(&mut self, word: &str) -> Result<(), NoSuchClass> {
        let (only, name) = match word.split_once(':') {
            None => (None, word),
            Some((protocol, name)) => {
                let protocol = Protocol::ALL.into_iter().find(|known| known.word() == protocol);
                (Some(protocol.ok_or_else(|| Commands::names(None))?), name)
            }
        };
        let mut known = false;
        for (protocol, set) in Protocol::ALL.into_iter().zip(&mut self.sets) {
            let named = ClassSet::whose(protocol, |row| row.name == name);
            if only.is_none_or(|only| only == protocol) {
                *set = set.and(named);
                known |= !named.is_empty();
            }
        }
        if known {
            self.words.push(word.to_owned());
            return Ok(());
        }
        Err(Commands::names(only))
    }

    /// The words for the classes of one protocol, or of all.
    fn names(only: Option<Protocol>) -> NoSuchClass {
        if let Some(protocol) = only {
            let names = table(protocol).iter();
            return names.map(|row| format!("{}:{}", protocol.word(), row.name)).collect();
        }
        let mut names: Vec<String> = Vec::new();
        for row in Protocol::ALL.into_iter().flat_map(table) {
            if !names.iter().any(|known| known == row.name) {
                names.push(row.name.to_owned());
            }
        }
        names
    }

    /// Whether the rule names none: it means every class.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The words as the file has them.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// What they mean in a protocol.
    pub fn of(&self, protocol: Protocol) -> ClassSet {
        self.sets.get(protocol as usize).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_in_the_order_of_the_enum() {
        for protocol in Protocol::ALL {
            let names: Vec<_> = table(protocol).iter().map(|row| row.name).collect();
            for (at, name) in names.iter().enumerate() {
                assert!(!names[..at].contains(name), "{protocol:?} {name}");
                let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
                assert!(name.bytes().all(|byte| plain(byte) || byte.is_ascii_digit()), "{name}");
            }
            assert_eq!(ClassSet::all(protocol).names(protocol).collect::<Vec<_>>(), names);
            assert!(
                ClassSet::following(protocol).common(ClassSet::to_be_named(protocol)).is_empty()
            );
        }
        for &class in sql::Class::ALL {
            let names: Vec<_> = class.only().names(Protocol::Postgres).collect();
            assert_eq!(names, [class.name()]);
        }
    }

    #[test]
    fn words_of_rules() {
        fn check(word: &str, expect: Option<[&str; 4]>) {
            let mut commands = Commands::default();
            let known = commands.add(word).is_ok();
            assert_eq!(known, !commands.is_empty(), "{word}");
            let sets = Protocol::ALL.map(|protocol| commands.of(protocol).words(protocol));
            let expect = expect.map(|sets| sets.map(str::to_owned));
            assert_eq!(known.then_some(sets), expect, "{word}");
        }
        check("read", Some(["read", "read", "", "read"]));
        check("postgres:read", Some(["read", "", "", ""]));
        check("exec", Some(["", "", "exec", "exec"]));
        check("ssh:exec", Some(["", "", "exec", ""]));
        check("ddl", Some(["ddl", "", "", ""]));
        for unknown in ["reads", "ssh:ddl", "postgresql:read", "", ":", "postgres:", "ssh:ssh:exec"]
        {
            check(unknown, None);
        }
        let mut commands = Commands::default();
        let of_ssh = commands.add("ssh:ddl").unwrap_err();
        assert!(of_ssh.contains(&"ssh:exec".to_owned()), "{of_ssh:?}");
        assert!(of_ssh.iter().all(|name| name.starts_with("ssh:")), "{of_ssh:?}");
        let all = commands.add("x:read").unwrap_err();
        assert!(all.contains(&"ddl".to_owned()) && all.contains(&"shell".to_owned()), "{all:?}");
    }
}
