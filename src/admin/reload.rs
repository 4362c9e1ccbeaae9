//! A new configuration in a running process: what may change, and what needs a restart.
//!
//! In: the settings in force and the new ones. Out: merged settings, notes for the operator.
//! Never: a target under another index; sessions know their target by it.

use crate::config::settings::{Settings, User};

/// The result of a reload.
#[derive(Debug)]
pub struct Merged {
    /// What is in force from now on.
    pub settings: Settings,
    /// Sentences about what the file asks for and only a restart brings.
    pub notes: Vec<String>,
    /// Targets whose catalog and addresses are of another database now.
    pub moved: Vec<usize>,
}

/// Rules, masks, identities and targets are taken from `new`; listeners, shards, journal and
/// places stay as they are. Targets keep their index: a removed one stays without credentials, so
/// that nobody logs in there any more while its sessions end in their own time.
pub fn merge(old: &Settings, new: Settings) -> Merged {
    let mut notes = Vec::new();
    let mut moved = Vec::new();
    let mut targets = Vec::new();
    let mut fresh = new.targets.clone();
    for (index, target) in old.targets.iter().enumerate() {
        let Some(at) = fresh.iter().position(|now| now.name == target.name) else {
            if !target.credentials.is_empty() {
                notes.push(format!("target {} is removed: no new logins there", target.name));
            }
            let mut gone = target.clone();
            gone.credentials.clear();
            targets.push(gone);
            continue;
        };
        let now = fresh.remove(at);
        let same_place = now.reach.hosts == target.reach.hosts && now.database == target.database;
        if !same_place {
            moved.push(index);
        }
        targets.push(now);
    }
    targets.extend(fresh);
    let kept = [
        ("data_dir", old.data_dir == new.data_dir),
        ("node", old.node == new.node),
        ("shards", old.shards == new.shards),
        ("listen", format!("{:?}", old.listeners) == format!("{:?}", new.listeners)),
        ("admin", old.admin == new.admin),
        ("journal", format!("{:?}", old.journal) == format!("{:?}", new.journal)),
    ];
    for (name, same) in kept {
        if !same {
            notes.push(format!("{name} changed in the file; it needs a restart"));
        }
    }
    let Settings { users, certificates, issuers, ssh_authorities, approvals, .. } = new;
    let Settings { rules, masks, admin_url, .. } = new;
    let settings = Settings {
        targets,
        users,
        certificates,
        issuers,
        ssh_authorities,
        approvals,
        admin_url,
        rules,
        masks,
        ..old.clone()
    };
    assert!(settings.targets.len() >= old.targets.len(), "an index was lost");
    Merged { settings, notes, moved }
}

/// What differs between two configurations, by section and name: `+` new, `-` gone, `~` other. No
/// value stands in it, so no secret does.
pub fn changes(old: &Settings, new: &Settings) -> Vec<String> {
    let mut changes = Vec::new();
    let mut compare = |section: &str, old: &[Named], new: &[Named]| {
        for (name, value) in new {
            match old.iter().find(|(before, _)| before == name) {
                None => changes.push(format!("+ {section} {name}")),
                Some((_, before)) if before != value => {
                    changes.push(format!("~ {section} {name}"));
                }
                Some(_) => {}
            }
        }
        for (name, _) in old.iter().filter(|(name, _)| !new.iter().any(|(now, _)| now == name)) {
            changes.push(format!("- {section} {name}"));
        }
    };
    compare("rule", &rules(old), &rules(new));
    compare("mask", &masks(old), &masks(new));
    compare("user", &users(old), &users(new));
    compare("target", &targets(old), &targets(new));
    compare("webhook", &webhooks(old), &webhooks(new));
    let rest = |it: &Settings| {
        let approvals = (it.approvals.per_identity, &it.approvals.people);
        [
            ("certificates".to_owned(), format!("{:?}", it.certificates)),
            ("issuers".to_owned(), format!("{:?}", it.issuers)),
            ("ssh authorities".to_owned(), format!("{:?}", it.ssh_authorities)),
            ("approvals and people".to_owned(), format!("{approvals:?}")),
            ("address of links".to_owned(), format!("{:?}", it.admin_url)),
        ]
    };
    compare("section", &rest(old), &rest(new));
    let order = |it: &Settings| it.rules.iter().map(|rule| rule.name.clone()).collect::<Vec<_>>();
    if changes.is_empty() && order(old) != order(new) {
        changes.push("~ order of the rules".to_owned());
    }
    changes
}

/// A name, and what is compared of it.
type Named = (String, String);

fn rules(it: &Settings) -> Vec<Named> {
    it.rules.iter().map(|rule| (rule.name.clone(), format!("{rule:?}"))).collect()
}

/// Masks have no names: their place in the file stands for one.
fn masks(it: &Settings) -> Vec<Named> {
    let all = it.masks.iter().enumerate();
    all.map(|(index, mask)| ((index + 1).to_string(), format!("{mask:?}"))).collect()
}

/// A password that is given in clear has another salt at each load, so it is left out.
fn users(it: &Settings) -> Vec<Named> {
    let all = it.users.iter();
    all.map(|user| (user.name.clone(), format!("{:?} {:?}", user.groups, user.keys))).collect()
}

fn targets(it: &Settings) -> Vec<Named> {
    it.targets.iter().map(|target| (target.name.clone(), format!("{target:?}"))).collect()
}

fn webhooks(it: &Settings) -> Vec<Named> {
    it.approvals.webhooks.iter().map(|hook| (hook.name.clone(), format!("{hook:?}"))).collect()
}

/// Whose sessions end with a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Users who were configured and are no longer, or lost a group: what their sessions may do was
    /// decided by what is gone.
    users: Vec<String>,
    /// Users who are configured now, if everybody else has to prove again who they are: a
    /// certificate's rule or an issuer is gone or another one, and which session came by it is not
    /// known here. Sessions of SSH know their key, or their certificate, and look themselves.
    only: Option<Vec<String>>,
}

impl Ended {
    /// Whether nobody's do.
    pub fn is_nobody(&self) -> bool {
        self.users.is_empty() && self.only.is_none()
    }

    /// Whether sessions of this user do. Before the login there is no name, and nothing to end.
    pub fn has(&self, user: &str) -> bool {
        let others = self.only.as_ref().is_some_and(|stay| !stay.iter().any(|it| it == user));
        !user.is_empty() && (others || self.users.iter().any(|it| it == user))
    }
}

/// Whose sessions end.
pub fn ended(old: &Settings, new: &Settings) -> Ended {
    let all_there = (old.certificates.iter().all(|it| same_in(it, &new.certificates)))
        && old.issuers.iter().all(|it| same_in(it, &new.issuers));
    let names = || new.users.iter().map(|user| user.name.clone()).collect();
    Ended { users: reduced(old, new), only: (!all_there).then(names) }
}

fn same_in<T: std::fmt::Debug>(it: &T, list: &[T]) -> bool {
    let text = format!("{it:?}");
    list.iter().any(|other| format!("{other:?}") == text)
}

fn reduced(old: &Settings, new: &Settings) -> Vec<String> {
    let stays = |user: &User| {
        let now = new.users.iter().find(|now| now.name == user.name);
        now.is_some_and(|now| user.groups.iter().all(|group| now.groups.contains(group)))
    };
    old.users.iter().filter(|user| !stays(user)).map(|user| user.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A configuration of targets at `name@host`.
    fn settings(targets: &[&str], more: &str) -> Settings {
        let mut text =
            format!("data_dir = 'd'\n[listen.postgres]\naddress = '127.0.0.1:1'\n{more}");
        for target in targets {
            let (name, host) = target.split_once('@').unwrap();
            text.push_str(&format!(
                "[[target]]\nname = '{name}'\nprotocol = 'postgres'\naddress = '{host}:5432'\n\
                 tls = 'disable'\n[[target.credential]]\nrole = 'app'\npassword = {{ env = 'P' }}\n"
            ));
        }
        crate::config::parse(&text, "t.toml", Path::new("."), &|_| Some("secret".into())).unwrap()
    }

    fn check(old: &[&str], new: &[&str], expect: &[(&str, bool)], moved: &[usize]) {
        let merged = merge(&settings(old, ""), settings(new, ""));
        let targets: Vec<_> = (merged.settings.targets.iter())
            .map(|target| (target.name.as_str(), !target.credentials.is_empty()))
            .collect();
        assert_eq!(targets, expect, "{old:?} {new:?}");
        assert_eq!(merged.moved, moved, "{old:?} {new:?}");
    }

    #[test]
    fn a_target_keeps_its_index() {
        check(&["a@x", "b@x"], &["b@x", "a@x"], &[("a", true), ("b", true)], &[]);
        check(&["a@x"], &["c@x", "a@x"], &[("a", true), ("c", true)], &[]);
        check(&["a@x", "b@x"], &["b@x"], &[("a", false), ("b", true)], &[]);
        check(&["a@x", "b@x"], &["b@y", "a@x"], &[("a", true), ("b", true)], &[1]);
    }

    #[test]
    fn a_removed_target_may_come_back() {
        let without = merge(&settings(&["a@x", "b@x"], ""), settings(&["b@x"], ""));
        assert_eq!(without.notes.len(), 1);
        let still = merge(&without.settings, settings(&["b@x"], ""));
        assert!(still.notes.is_empty(), "said once: {:?}", still.notes);
        let again = merge(&still.settings, settings(&["a@x", "b@x"], ""));
        assert!(again.settings.targets.iter().all(|target| !target.credentials.is_empty()));
    }

    #[test]
    fn who_is_removed_or_loses_a_group_is_ended() {
        let users = |list: &[(&str, &[&str])]| {
            let mut it = settings(&["a@x"], "");
            for (name, groups) in list {
                let verifier =
                    crate::identify::scram::Verifier::from_password("p", b"0123456789", 4096);
                let groups = groups.iter().map(|group| (*group).to_owned()).collect();
                let (name, verifier) = ((*name).to_owned(), Some(verifier));
                it.users.push(User { name, verifier, keys: Vec::new(), groups });
            }
            it
        };
        let old = users(&[("ann", &["dba", "ops"]), ("bob", &["ops"]), ("cid", &[])]);
        let new = users(&[("ann", &["ops"]), ("cid", &["ops"]), ("dan", &[])]);
        assert_eq!(reduced(&old, &new), ["ann", "bob"]);
        let check = |ended: &Ended, user: &str, expect: bool| {
            assert_eq!(ended.has(user), expect, "{user} {ended:?}");
        };
        let fewer = ended(&old, &new);
        for (user, expect) in [("ann", true), ("bob", true), ("cid", false), ("", false)] {
            check(&fewer, user, expect);
        }
        check(&fewer, "of a certificate", false);
        assert!(ended(&new, &new).is_nobody());
        let mut trusting = new.clone();
        trusting.certificates.push(crate::config::settings::CertificateSpec {
            name: crate::config::settings::CertificateName::Common,
            matches: vec![],
            groups: vec![],
            units_are_groups: false,
        });
        assert!(ended(&new, &trusting).is_nobody(), "one more is no reason");
        let without = ended(&trusting, &new);
        check(&without, "of a certificate", true);
        check(&without, "cid", false);
        check(&without, "", false);
    }

    #[test]
    fn a_diff_names_what_changed_and_no_value() {
        let rule = |name: &str, then: &str| {
            format!("[[rule]]\nname = '{name}'\nwhen = {{}}\nthen = '{then}'\n")
        };
        let of = |rules: &[String]| settings(&["a@x"], &rules.concat());
        let old = of(&[rule("one", "allow"), rule("two", "allow")]);
        let new = of(&[rule("one", "deny"), rule("three", "allow")]);
        let expect = ["~ rule one", "+ rule three", "- rule two"];
        assert_eq!(changes(&old, &new), expect);
        assert!(changes(&old, &old).is_empty());
        let turned = of(&[rule("two", "allow"), rule("one", "allow")]);
        assert_eq!(changes(&old, &turned), ["~ order of the rules"]);
        let moved = changes(&old, &settings(&["a@secret-host"], &rule("one", "allow")));
        assert_eq!(moved, ["- rule two", "~ target a"]);
    }

    #[test]
    fn what_needs_a_restart_is_said_and_not_done() {
        let old = settings(&["a@x"], "[admin]\naddress = '127.0.0.1:2'\n");
        let merged = merge(&old, settings(&["a@x"], "[admin]\naddress = '127.0.0.1:3'\n"));
        assert_eq!(merged.settings.admin, old.admin);
        assert_eq!(merged.notes, ["admin changed in the file; it needs a restart"]);
    }
}
