//! libpq's password file (PostgreSQL documentation, 32.16): a line per place, the first match wins.
//!
//! In: a place, a token. Out: the file with that place's line in front.
//! Never: another line of the file changed; a file that others may read, which libpq would ignore.

use std::fmt;
use std::path::{Path, PathBuf};

use super::cache::replace;
use crate::cli::fail::{EXIT_USAGE, Failure};

/// `host:port:database:user`, as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    /// Reads what a person gives: in the file's own form, what is missing at the end is `*`.
    ///
    /// # Errors
    /// Too many fields, or none.
    pub fn parse(text: &str) -> Result<Place, Failure> {
        let usage = |message: &str| {
            Failure::new(EXIT_USAGE, message)
                .hint("write --pgpass weir.example.com:5432, or HOST:PORT:DATABASE:USER")
        };
        let fields = fields(text);
        if text.is_empty() || fields.iter().any(|field| field.is_empty()) {
            return Err(usage("a part of the place is empty"));
        }
        if fields.len() > 4 || text.contains(['\n', '\r', '#']) {
            return Err(usage(
                "this is no place of a password file; put a \\ before a : in a name",
            ));
        }
        let mut place = text.to_owned();
        for _ in fields.len()..4 {
            place.push_str(":*");
        }
        Ok(Place(place))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Fields between colons that have no backslash before them.
fn fields(text: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ':' => {
                fields.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    fields.push(text.get(start..).unwrap_or_default());
    fields
}

/// Where libpq looks.
pub fn path(env: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, Failure> {
    if let Some(path) = env("PGPASSFILE") {
        return Ok(PathBuf::from(path));
    }
    let home = env("HOME").ok_or_else(|| {
        Failure::new(EXIT_USAGE, "where is the password file?").hint("set HOME or PGPASSFILE")
    })?;
    Ok(Path::new(&home).join(".pgpass"))
}

/// Puts a token in.
pub fn put(path: &Path, place: &Place, token: &str) -> Result<(), Failure> {
    // Through a link to where the file is, so that the link stays one.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(Failure::because(&format!("cannot read {}", path.display()), error));
        }
    };
    replace(&path, with_line(&before, place, token).as_bytes())
}

fn with_line(before: &str, place: &Place, token: &str) -> String {
    let prefix = format!("{place}:");
    let mut text = format!("{prefix}{token}\n");
    for line in before.lines().filter(|line| !line.starts_with(&prefix)) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_in_the_form_of_the_file() {
        fn check(text: &str, expect: Option<&str>) {
            assert_eq!(Place::parse(text).ok().map(|place| place.0).as_deref(), expect, "{text}");
        }
        check("db", Some("db:*:*:*"));
        check("db:5432", Some("db:5432:*:*"));
        check("db:5432:shop:alice", Some("db:5432:shop:alice"));
        check("*:*:shop", Some("*:*:shop:*"));
        check("fe80\\:\\:1:5432", Some("fe80\\:\\:1:5432:*:*"));
        check("a:b:c:d:e", None);
        check("", None);
        check("db::shop", None);
        check("# db", None);
        check("a\nb", None);
    }

    #[test]
    fn the_new_line_comes_first_and_replaces_its_like() {
        let place = Place::parse("db:5432").unwrap();
        assert_eq!(with_line("", &place, "t"), "db:5432:*:*:t\n");
        let before = "# mine\nother:*:*:*:x\ndb:5432:*:*:old\ndb:5432:*:bob:y";
        let expect = "db:5432:*:*:t\n# mine\nother:*:*:*:x\ndb:5432:*:bob:y\n";
        assert_eq!(with_line(before, &place, "t"), expect);
    }
}
