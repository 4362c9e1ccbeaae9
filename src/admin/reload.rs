//! A new configuration in a running process: what may change, and what needs a restart.
//!
//! In: the settings in force and the new ones. Out: merged settings, notes for the operator.
//! Never: a target under another index; sessions know their target by it.

use crate::config::settings::Settings;

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

/// Rules, masks, users and targets are taken from `new`; listeners, shards, journal and places stay
/// as they are. Targets keep their index: a removed one stays without credentials, so that nobody
/// logs in there any more while its sessions end in their own time.
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
        let same_place =
            now.host == target.host && now.port == target.port && now.database == target.database;
        if !same_place {
            moved.push(index);
        }
        targets.push(now);
    }
    targets.extend(fresh);
    let same_tls = format!("{:?}", old.postgres.tls) == format!("{:?}", new.postgres.tls);
    let kept = [
        ("data_dir", old.data_dir == new.data_dir),
        ("shards", old.shards == new.shards),
        ("listen.postgres", old.postgres.address == new.postgres.address && same_tls),
        ("admin", old.admin == new.admin),
        ("journal", format!("{:?}", old.journal) == format!("{:?}", new.journal)),
    ];
    for (name, same) in kept {
        if !same {
            notes.push(format!("{name} changed in the file; it needs a restart"));
        }
    }
    let settings =
        Settings { targets, users: new.users, rules: new.rules, masks: new.masks, ..old.clone() };
    assert!(settings.targets.len() >= old.targets.len(), "an index was lost");
    Merged { settings, notes, moved }
}
