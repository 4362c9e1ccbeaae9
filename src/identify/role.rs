//! Which role of a target an identity gets.
//!
//! In: a target's credentials, an identity, the `user` of the start-up packet. Out: a credential.
//! Never: a role that is not open to one of the identity's groups.

use super::Identity;
use crate::config::settings::Credential;
use crate::fault::Login;

/// The credential for this identity: the one asked for, if the login leaves the `user` free to ask
/// and a credential has that role; else the first that is open to a group of the identity.
///
/// # Errors
/// None is open, or the role asked for is not.
pub fn credential<'c>(
    credentials: &'c [Credential],
    identity: &Identity,
    asked: &str,
) -> Result<&'c Credential, Login> {
    let open = |credential: &&Credential| {
        credential.groups.is_empty()
            || credential.groups.iter().any(|group| identity.groups.contains(group))
    };
    let names_role = identity.method.leaves_user_free()
        && asked != identity.user
        && credentials.iter().any(|credential| credential.role == asked);
    if names_role {
        let mut named = credentials.iter().filter(|credential| credential.role == asked);
        return named.find(open).ok_or(Login::RoleNotOpen);
    }
    credentials.iter().find(open).ok_or(Login::NoRole)
}

#[cfg(test)]
mod tests {
    use super::super::Method;
    use super::*;
    use crate::config::settings::Secret;

    fn credentials() -> Vec<Credential> {
        let credential = |role: &str, groups: &[&str]| Credential {
            role: role.to_owned(),
            password: Secret::new(String::new()),
            proof: None,
            header: None,
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
        };
        vec![
            credential("reader", &["agents"]),
            credential("owner", &["dba"]),
            credential("reader", &["analysts"]),
        ]
    }

    fn check(method: Method, groups: &[&str], asked: &str, expect: Result<&str, Login>) {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        let identity = Identity { user: "ann".into(), groups, method };
        let credentials = credentials();
        let found = credential(&credentials, &identity, asked).map(|found| found.role.as_str());
        assert_eq!(found, expect, "{method:?} {:?} asks for {asked}", identity.groups);
    }

    #[test]
    fn the_first_open_credential_is_the_default() {
        for method in [Method::Scram, Method::ScramPlus, Method::Certificate] {
            check(method, &["agents"], "ann", Ok("reader"));
            check(method, &["dba", "agents"], "ann", Ok("reader"));
            check(method, &["dba"], "ann", Ok("owner"));
            check(method, &[], "ann", Err(Login::NoRole));
            check(method, &["agents"], "no-such-role", Ok("reader"));
        }
    }

    #[test]
    fn a_login_that_names_itself_may_ask_for_a_role() {
        check(Method::Certificate, &["agents", "dba"], "owner", Ok("owner"));
        check(Method::Certificate, &["analysts"], "reader", Ok("reader"));
        check(Method::Certificate, &["agents"], "owner", Err(Login::RoleNotOpen));
        check(Method::Scram, &["agents", "dba"], "owner", Ok("reader"));
    }
}
