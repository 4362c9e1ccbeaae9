//! What a configuration says and hardly means: names that nothing at the targets has, most of them
//! misspelt, rules that allow more than one protocol, and those that bind less than they say.
//!
//! In: settings, the catalogs that were read. Out: sentences. Never: a word while a catalog that a
//! pattern may be about is not there, or about patterns of what may come to be: those with `*`.

use super::catalog;
use crate::config::settings::{Effect, RuleSpec, Settings, Target};
use crate::decide::ssh::Class;
use crate::decide::{ClassSet, FactKind};
use crate::identify::glob::glob;
use crate::mask::sql::catalog::Catalog;
use crate::mask::sql::rules::ColumnPattern;
use crate::wire::Protocol;

/// What masks hide nothing, and what names in denying and holding rules are nobody's. `catalog_of`
/// gives the catalog of a target by its place in the settings.
pub fn sentences<'c>(
    settings: &Settings,
    catalog_of: impl Fn(usize) -> Option<&'c Catalog>,
) -> Vec<String> {
    let among = |names: &[String], fits: &dyn Fn(&Catalog) -> bool| {
        let meant = |target: &Target| names.is_empty() || names.contains(&target.name);
        let targets = settings.targets.iter().enumerate();
        let mut meant = targets.filter(|(_, it)| catalog::is_read(it) && meant(it)).peekable();
        meant.peek().is_some() && !meant.any(|(index, _)| catalog_of(index).is_none_or(fits))
    };
    let mut found = Vec::new();
    for mask in &settings.masks {
        for column in mask.columns.iter().filter(|it| !it.contains('*')) {
            let Ok(pattern) = ColumnPattern::parse(column) else { continue };
            if among(&mask.targets, &|catalog| pattern.is_in(catalog)) {
                found
                    .push(format!("the mask of {column} hides nothing: no target has this column"));
            }
        }
    }
    for rule in settings.rules.iter().filter(|rule| !matches!(rule.then, Effect::Allow)) {
        for name in rule.touches.iter().filter(|it| !it.contains('*')) {
            if among(&rule.targets, &|catalog| has_relation(catalog, name)) {
                let rule = &rule.name;
                found.push(format!("rule \"{rule}\" touches {name}: no target has such a table"));
            }
        }
    }
    found
}

/// Rules that hold for more people than there are: what they hold runs out, always. Where issuers
/// or certificates name groups, nobody knows how many there are.
pub fn too_few(settings: &Settings) -> Vec<String> {
    let named_elsewhere = !settings.issuers.is_empty() || !settings.certificates.is_empty();
    if named_elsewhere || !settings.ssh_authorities.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for rule in &settings.rules {
        let Effect::Hold { approvers, quorum, .. } = &rule.then else { continue };
        let may = settings.users.iter().filter(|user| {
            user.verifier.is_some() && user.groups.iter().any(|group| approvers.contains(group))
        });
        // Several identities of one person are one vote.
        let mut people: Vec<&str> = Vec::new();
        for user in may {
            let also = settings.approvals.also(&user.name);
            if !people.iter().any(|known| also.iter().any(|it| it == known)) {
                people.push(&user.name);
            }
        }
        if people.len() < *quorum as usize {
            let (rule, has) = (&rule.name, people.len());
            found.push(format!(
                "rule \"{rule}\" asks for {quorum} approvals, and {has} people are in {}",
                approvers.join(", ")
            ));
        }
    }
    found
}

/// Rules that allow a class of several protocols at once, since they name neither targets nor what
/// only one of them has.
pub fn crossing(settings: &Settings) -> Vec<String> {
    let has = |protocol: &Protocol| settings.targets.iter().any(|it| it.protocol == *protocol);
    let here: Vec<Protocol> = Protocol::ALL.into_iter().filter(has).collect();
    let mut found = Vec::new();
    for rule in settings.rules.iter().filter(|it| matches!(it.then, Effect::Allow)) {
        if !rule.targets.is_empty() || !rule.facts.is_empty() || !rule.touches.is_empty() {
            continue;
        }
        for word in rule.commands.words().iter().filter(|word| !word.contains(':')) {
            let having =
                here.iter().filter(|it| ClassSet::all(**it).names(**it).any(|n| n == word));
            let names: Vec<&str> = having.map(|protocol| protocol.name()).collect();
            if let [first, _, ..] = names.as_slice() {
                let (rule, names) = (&rule.name, names.join(" and "));
                let one = first.to_lowercase();
                found.push(format!(
                    "rule \"{rule}\" allows {word} at targets of {names}: `targets`, or a name such \
                     as {one}:{word}, says which"
                ));
            }
        }
    }
    found
}

/// What writes files over SSH, and what reads repositories of git.
const WRITING: [Class; 4] =
    [Class::ScpUpload, Class::RsyncUpload, Class::SftpWrite, Class::SftpAttr];
const GIT: [Class; 2] = [Class::GitFetch, Class::GitPush];

/// Rules that let one identity write files where it may use git by `paths`: git follows what stands
/// in a repository (gitrepository-layout(5)) to any place of the target.
pub fn led_astray(settings: &Settings) -> Vec<String> {
    let allowing: Vec<&RuleSpec> =
        settings.rules.iter().filter(|it| matches!(it.then, Effect::Allow)).collect();
    let mut found = Vec::new();
    for git in allowing.iter().filter(|it| names_any(it, &GIT) && !paths(it).is_empty()) {
        let writing = allowing.iter().filter(|it| {
            // Who may do everything needs no way around.
            let bound = !it.commands.is_empty() || !paths(it).is_empty();
            bound && names_any(it, &WRITING)
        });
        for writes in writing.filter(|it| meet(it, git, settings) && overlap(it, git)) {
            let (writes, git) = (&writes.name, &git.name);
            found.push(format!(
                "rule \"{writes}\" lets people write files where rule \"{git}\" lets them use git, \
                 whose `paths` bind them no more: git follows `.git` files, `commondir`, \
                 `objects/info/alternates` and hooks that they write"
            ));
        }
    }
    found
}

fn names_any(rule: &RuleSpec, classes: &[Class]) -> bool {
    let named = rule.commands.of(Protocol::Ssh);
    rule.commands.is_empty() || classes.iter().any(|class| named.has(*class))
}

fn paths(rule: &RuleSpec) -> &[String] {
    let kind = rule.facts.iter().find(|(kind, _)| *kind == FactKind::Path);
    kind.map_or(&[], |(_, patterns)| patterns)
}

/// Whether one identity may be meant by both at one target of SSH.
fn meet(one: &RuleSpec, other: &RuleSpec, settings: &Settings) -> bool {
    let both = |name: &String| {
        [one, other].iter().all(|it| it.targets.is_empty() || it.targets.contains(name))
    };
    let ssh = settings.targets.iter().filter(|it| it.protocol == Protocol::Ssh);
    let shared = |one: &[String], other: &[String]| {
        one.is_empty() || other.is_empty() || one.iter().any(|name| other.contains(name))
    };
    let is_in = |groups: &[String], of: &[String]| of.iter().any(|name| groups.contains(name));
    let groups = shared(&one.groups, &other.groups)
        || settings
            .users
            .iter()
            .any(|user| is_in(&user.groups, &one.groups) && is_in(&user.groups, &other.groups));
    ssh.map(|it| &it.name).any(both) && shared(&one.users, &other.users) && groups
}

/// Whether a path may be meant by both, as far as their patterns begin alike.
fn overlap(one: &RuleSpec, other: &RuleSpec) -> bool {
    let begin = |pattern: &String| pattern.split('*').next().unwrap_or_default().to_owned();
    let alike = |one: &String| {
        let one = begin(one);
        let mut others = paths(other).iter().map(begin);
        others.any(|other| other.starts_with(&one) || one.starts_with(&other))
    };
    paths(one).is_empty() || paths(one).iter().any(alike)
}

/// Whether a relation is meant by a pattern of `touches`: `schema.name`, or a name in any schema.
fn has_relation(catalog: &Catalog, pattern: &str) -> bool {
    let (schema, name) = pattern.rsplit_once('.').unwrap_or(("*", pattern));
    catalog.relations.values().any(|it| glob(schema, &it.schema) && glob(name, &it.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::sql::catalog::{Column, Relation};

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        let relation = Relation {
            oid: 1,
            schema: "public".into(),
            name: "customers".into(),
            kind: b'r',
            sources: Vec::new(),
            columns: vec![Column { attnum: 1, name: "ssn".into(), type_oid: 25 }],
        };
        catalog.relations.insert(1, relation);
        catalog
    }

    fn settings(text: &str) -> Settings {
        let base = std::path::Path::new("");
        crate::config::parse(text, "t", base, &|_| Some("secret".into())).unwrap()
    }

    #[test]
    fn a_quorum_of_more_people_than_there_are_is_told() {
        let check = |users: &[&str], more: &str, quorum: u32, expect: Option<&str>| {
            let users: String = users
                .iter()
                .map(|name| {
                    format!(
                        "[[identity.user]]\nname = \"{name}\"\ngroups = [\"dba\"]\n\
                         password = {{ env = \"P\" }}\n"
                    )
                })
                .collect();
            let text = format!(
                "data_dir = \"d\"\n[listen.postgres]\naddress = \"127.0.0.1:0\"\n{users}{more}\
                 [[target]]\nname = \"a\"\nprotocol = \"postgres\"\naddress = \"127.0.0.1:1\"\n\
                 tls = \"disable\"\n\
                 [[target.credential]]\nrole = \"app\"\npassword = {{ env = \"P\" }}\n\
                 [[rule]]\nname = \"r\"\nwhen = {{}}\n\
                 then = {{ hold = {{ approvers = [\"dba\"], quorum = {quorum} }} }}\n"
            );
            let found = too_few(&settings(&text));
            assert_eq!(found.first().map(String::as_str), expect, "{users} {quorum}");
        };
        let one = "rule \"r\" asks for 2 approvals, and 1 people are in dba";
        check(&["ann"], "", 1, None);
        check(&["ann"], "", 2, Some(one));
        check(&["ann", "bob"], "", 2, None);
        let same = "[[person]]\nidentities = [\"ann\", \"bob\"]\n";
        check(&["ann", "bob"], same, 2, Some(one));
    }

    #[test]
    fn a_rule_that_allows_two_protocols_is_told() {
        let check = |when: &str, then: &str, expect: usize| {
            let text = format!(
                "data_dir = \"d\"\n[listen.postgres]\naddress = \"127.0.0.1:0\"\n\
                 [listen.http]\naddress = \"127.0.0.1:0\"\n\
                 [[target]]\nname = \"a\"\nprotocol = \"postgres\"\naddress = \"127.0.0.1:1\"\n\
                 tls = \"disable\"\n\
                 [[target.credential]]\nrole = \"app\"\npassword = {{ env = \"P\" }}\n\
                 [[target]]\nname = \"b\"\nprotocol = \"http\"\naddress = \"http://127.0.0.1:1\"\n\
                 host = \"b\"\n\
                 [[rule]]\nname = \"r\"\nwhen = {{ {when} }}\nthen = {then}\n"
            );
            assert_eq!(crossing(&settings(&text)).len(), expect, "{when}");
        };
        check("commands = [\"read\"]", "\"allow\"", 1);
        check("commands = [\"read\"]", "{ deny = \"no\" }", 0);
        check("commands = [\"postgres:read\", \"http:read\"]", "\"allow\"", 0);
        check("commands = [\"read\"], targets = [\"a\"]", "\"allow\"", 0);
        check("commands = [\"read\"], methods = [\"GET\"]", "\"allow\"", 0);
        check("commands = [\"ddl\"]", "\"allow\"", 0);
        check("", "\"allow\"", 0);
    }

    #[test]
    fn files_written_where_git_reads_are_told() {
        let check = |rules: [(&str, &str); 2], expect: usize| {
            let mut text = "data_dir = \"d\"\n[listen.postgres]\naddress = \"127.0.0.1:0\"\n\
                 [[target]]\nname = \"shop\"\nprotocol = \"postgres\"\naddress = \"127.0.0.1:1\"\n\
                 tls = \"disable\"\n[[target.credential]]\nrole = \"app\"\npassword = { env = \"P\" }\n\
                 [[identity.user]]\nname = \"u\"\npassword = { env = \"P\" }\ngroups = [\"a\", \"b\"]\n"
                .to_owned();
            for (index, (when, then)) in rules.into_iter().enumerate() {
                text.push_str(&format!(
                    "[[rule]]\nname = \"r{index}\"\nwhen = {{ {when} }}\nthen = {then}\n"
                ));
            }
            let mut settings = settings(&text);
            settings.targets.iter_mut().for_each(|it| it.protocol = Protocol::Ssh);
            assert_eq!(led_astray(&settings).len(), expect, "{rules:?}");
        };
        let allow = "\"allow\"";
        let git = ("commands = [\"git-fetch\"], paths = [\"/srv/rw/*\"]", allow);
        let put = |when: &'static str| [(when, allow), git];
        check(put("commands = [\"sftp-write\"], paths = [\"/srv/*\"]"), 1);
        check(put("commands = [\"scp-upload\"], paths = [\"/srv/rw/in/*\"]"), 1);
        check(put("commands = [\"rsync-upload\"]"), 1);
        check(put("commands = [\"sftp-write\"], paths = [\"/srv/in/*\"]"), 0);
        check(put("commands = [\"sftp-read\"]"), 0);
        check(put("users = [\"u\"]"), 0);
        // It allows both by itself, too.
        check(put("groups = [\"a\"], paths = [\"/srv/rw/*\"]"), 2);
        check([("commands = [\"sftp-write\"]", "{ deny = \"no\" }"), git], 0);
        let both = "commands = [\"sftp-write\", \"git-push\"], paths = [\"/srv/*\"]";
        check([(both, allow), ("commands = [\"exec\"]", allow)], 1);
        let of = |name: &str| format!("groups = [\"{name}\"], commands = [\"sftp-write\"]");
        let git = |name: &str| {
            format!("groups = [\"{name}\"], commands = [\"git-fetch\"], paths = [\"/srv/*\"]")
        };
        check([(&of("a"), allow), (&git("b"), allow)], 1);
        check([(&of("a"), allow), (&git("c"), allow)], 0);
    }

    fn check(masked: &str, touched: &str, read: bool, expect: &[&str]) {
        let text = format!(
            "data_dir = \"d\"\n[listen.postgres]\naddress = \"127.0.0.1:0\"\n\
             [[target]]\nname = \"shop\"\nprotocol = \"postgres\"\naddress = \"127.0.0.1:1\"\n\
             tls = \"disable\"\n[[target.credential]]\nrole = \"app\"\npassword = {{ env = \"P\" }}\n\
             [[identity.user]]\nname = \"u\"\npassword = {{ env = \"P\" }}\n\
             [[rule]]\nname = \"no\"\nwhen = {{ touches = [\"{touched}\"] }}\nthen = {{ deny = \"no\" }}\n\
             [[mask]]\ncolumns = [\"{masked}\"]\noperator = \"redact\"\n"
        );
        let catalog = catalog();
        let found = sentences(&settings(&text), |_| read.then_some(&catalog));
        assert_eq!(found, expect, "{masked} {touched}");
    }

    #[test]
    fn a_name_that_nothing_has_is_told() {
        check("public.customers.ssn", "public.customers", true, &[]);
        check("public.customers.ssn", "customers", true, &[]);
        let column = "the mask of public.customer.ssn hides nothing: no target has this column";
        let relation = "rule \"no\" touches public.custmers: no target has such a table";
        check("public.customer.ssn", "public.custmers", true, &[column, relation]);
        // Nobody knows, and what may come.
        check("public.customer.ssn", "public.custmers", false, &[]);
        check("*.customer.ssn", "audit.*", true, &[]);
    }
}
