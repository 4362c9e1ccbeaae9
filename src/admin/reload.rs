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
    let Settings { users, certificates, issuers, rules, masks, .. } = new;
    let settings = Settings { targets, users, certificates, issuers, rules, masks, ..old.clone() };
    assert!(settings.targets.len() >= old.targets.len(), "an index was lost");
    Merged { settings, notes, moved }
}

/// Users who were configured and are no longer, or lost a group: what their sessions may do was
/// decided by what is gone, so these end.
pub fn ended(old: &Settings, new: &Settings) -> Vec<String> {
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
        assert_eq!(ended(&old, &new), ["ann", "bob"]);
        assert!(ended(&new, &new).is_empty());
    }

    #[test]
    fn what_needs_a_restart_is_said_and_not_done() {
        let old = settings(&["a@x"], "[admin]\naddress = '127.0.0.1:2'\n");
        let merged = merge(&old, settings(&["a@x"], "[admin]\naddress = '127.0.0.1:3'\n"));
        assert_eq!(merged.settings.admin, old.admin);
        assert_eq!(merged.notes, ["admin changed in the file; it needs a restart"]);
    }
}
