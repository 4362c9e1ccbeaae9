//! Fields by which a proxy vouches for a client, or says what was asked of it: targets believe them
//! of whoever stands in front of them, so no client may send one.
//!
//! In: the name of a field. Out: whether a target may take it for weir's own word.
//! Never: a list of products alone: what names a user, a tenant, an address, a certificate or
//! another path is of the kind, whoever made it up.
//!
//! What a name says stands in its words: `X-WEBAUTH-USER` has `user`, `X-Scope-OrgID` has `orgid`,
//! `True-Client-IP` has `ip`. A name with a sign in it that is neither a letter, a digit nor `-`
//! (`SCRIPT_NAME`) is read as another one by servers that make variables of names, and passes as
//! little (nginx: `underscores_in_headers`). Others pass, as do those of clients' own things
//! (`User-Agent`, `x-amz-meta-user`), and what a target's `client_fields` name.

use crate::identify::glob::glob_bytes;
use crate::wire::http::head::Head;
use crate::wire::http::name::Name;

/// The longest name that is looked at: a longer one is no name that a proxy would give.
const BYTES_MAX: usize = 64;

/// How names of clients' own things begin, whatever words follow: objects' own metadata, and what
/// MCP repeats of a message, which has to agree with it.
const FREE: [&[u8]; 8] = [
    b"hx-",
    b"x-account-meta-",
    b"x-amz-meta-",
    b"x-goog-meta-",
    b"x-ms-meta-",
    b"x-object-meta-",
    b"x-container-meta-",
    b"mcp-",
];

/// How names begin that one proxy alone writes.
const OF_PROXIES: [&[u8]; 30] = [
    b"cf-access-",
    b"cf-connecting-",
    b"front-end-",
    b"iv-",
    b"oam-",
    b"proxy-",
    b"sm-",
    b"tailscale-",
    b"wl-proxy-",
    b"-ws",
    b"x-accel-",
    b"x-appengine-",
    b"x-arr-",
    b"x-auth-request-",
    b"x-authentik-",
    b"x-credential-",
    b"x-envoy-",
    b"x-forward-",
    b"x-goog-iap-",
    b"x-invoke-",
    b"x-matched-",
    b"x-middleware-",
    b"x-ms-token-aad-",
    b"x-original-",
    b"x-override-",
    b"x-pomerium-",
    b"x-real-",
    b"x-rewrite-",
    b"x-trusted-",
    b"x-vouch-",
];

/// The names of the fields of a head that a target may believe of its proxy.
pub fn fields<'h>(head: &'h Head, ours: &[String]) -> Vec<&'h [u8]> {
    let others = head.named().filter(|(known, ..)| *known == Name::Other).map(|(_, name, _)| name);
    others.filter(|name| is_vouched(name, ours)).collect()
}

/// Whether a target may believe it of its proxy. `ours` are names that clients may send all the
/// same; `*` stands for any characters.
fn is_vouched(name: &[u8], ours: &[String]) -> bool {
    let mut folded = [0; BYTES_MAX];
    let Some(folded) = folded.get_mut(..name.len()) else { return false };
    for (to, from) in folded.iter_mut().zip(name) {
        // Servers that make a variable of a name fold what is no letter.
        *to = if from.is_ascii_alphanumeric() { from.to_ascii_lowercase() } else { b'-' };
    }
    let is_plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    (!is_plain || is_of_proxies(folded)) && !is_ours(name, ours)
}

fn is_ours(name: &[u8], ours: &[String]) -> bool {
    ours.iter().any(|ours| {
        let ours = ours.to_ascii_lowercase();
        glob_bytes(ours.as_bytes(), &name.to_ascii_lowercase())
    })
}

fn is_of_proxies(folded: &[u8]) -> bool {
    if FREE.iter().any(|start| folded.starts_with(start)) {
        return false;
    }
    if OF_PROXIES.iter().any(|start| folded.starts_with(start)) || WHOLE.contains(&folded) {
        return true;
    }
    let words = folded.split(|byte| *byte == b'-').filter(|word| !word.is_empty());
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let follows = words.peek().copied();
        if is_telling(word) && !is_own(word, follows) {
            return true;
        }
        if follows.is_none() && is_telling_last(word) {
            return true;
        }
    }
    false
}

/// What a client is, which account pays for it, and how it proves what it may are its own words.
fn is_own(word: &[u8], follows: Option<&[u8]>) -> bool {
    matches!(
        (word, follows),
        (b"user", Some(b"agent" | b"project"))
            | (b"admin", Some(b"secret" | b"token" | b"key" | b"password" | b"api"))
    )
}

/// Names that say it as a whole.
const WHOLE: [&[u8]; 12] = [
    b"auth-type",
    b"path-info",
    b"query-string",
    b"x-account-id",
    b"x-auth-name",
    b"x-client-verify",
    b"x-jwt-payload",
    b"x-path",
    b"x-request-path",
    b"x-request-uri",
    b"x-request-url",
    b"x-uri",
];

/// Words that say it at the end of a name: `X-Act-As`, `X-Auth-Sub`.
fn is_telling_last(word: &[u8]) -> bool {
    matches!(word, b"as" | b"sub" | b"of")
}

/// Words for who somebody is, what they may, where from, and how that was proven; and for what was
/// asked for before a proxy rewrote it.
fn is_telling(word: &[u8]) -> bool {
    matches!(
        word,
        b"user"
            | b"users"
            | b"username"
            | b"userid"
            | b"userinfo"
            | b"useremail"
            | b"authuser"
            | b"proxyuser"
            | b"email"
            | b"mail"
            | b"login"
            | b"group"
            | b"groups"
            | b"role"
            | b"roles"
            | b"principal"
            | b"identity"
            | b"subject"
            | b"consumer"
            | b"authenticated"
            | b"impersonate"
            | b"webauth"
            | b"eppn"
            | b"shib"
            | b"shibboleth"
            | b"saml"
            | b"sso"
            | b"oidc"
            | b"mtls"
            | b"assertion"
            | b"verified"
            | b"cert"
            | b"claim"
            | b"claims"
            | b"clientcert"
            | b"certificate"
            | b"ssl"
            | b"tls"
            | b"dn"
            | b"ip"
            | b"clientip"
            | b"socketip"
            | b"remote"
            | b"host"
            | b"scheme"
            | b"https"
            | b"sendfile"
            | b"uid"
            | b"upn"
            | b"spiffe"
            | b"memberof"
            | b"affiliation"
            | b"entitlement"
            | b"entitlements"
            | b"permission"
            | b"permissions"
            | b"scope"
            | b"scopes"
            | b"admin"
            | b"orgid"
            | b"tenant"
            | b"tenantid"
            | b"behalf"
            | b"sudo"
            | b"forwarded"
            | b"forwardedfor"
            | b"realip"
            | b"addr"
            | b"script"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_targets_believe_of_their_proxy_is_not_a_clients() {
        for name in [
            "Remote-User",
            "REMOTE_USER",
            "X-Remote-User",
            "x.remote.user",
            "X-WEBAUTH-USER",
            "X-Auth-Request-User",
            "X-Auth-Request-Access-Token",
            "X-Authenticated-User",
            "X-Goog-Authenticated-User-Email",
            "X-Goog-IAP-JWT-Assertion",
            "X-Amzn-Oidc-Identity",
            "X-Amzn-Mtls-Clientcert",
            "X-SSL-Client-Cert",
            "SSL-Client-Verify",
            "X-MS-CLIENT-PRINCIPAL",
            "X-MS-TOKEN-AAD-ID-TOKEN",
            "Cf-Access-Jwt-Assertion",
            "Cf-Connecting-IP",
            "True-Client-IP",
            "X-Client-IP",
            "X-Azure-ClientIP",
            "X-Original-URI",
            "X-Host",
            "X-HTTP-Host-Override",
            "Front-End-Https",
            "X-Sendfile-Type",
            "X-Accel-Mapping",
            "X-Consumer-Username",
            "X-Userinfo",
            "X-Forwarded-User",
            "X-Token-Subject",
            "SM_USER",
            "SM_SERVERSESSIONID",
            "iv-user",
            "$WSRU",
            "WL-Proxy-Client-Cert",
            "Tailscale-User-Login",
            "X-Authentik-Username",
            "X-Pomerium-Jwt-Assertion",
            "Impersonate-User",
            "X-User-Id",
            "X-Email",
            "X-Scope-OrgID",
            "uid",
            "affiliation",
            "X-JWT-Payload",
            "X-Jwt-Claim-Sub",
            "X-Auth-Sub",
            "X-Auth-Name",
            "X-Client-Verify",
            "AUTH-TYPE",
            "X-Spiffe-Id",
            "X-Account-Id",
            "X-Tenant-Id",
            "X-Is-Admin",
            "X-Scopes",
            "X-Permissions",
            "X-On-Behalf-Of",
            "X-Act-As",
            "X-Run-As",
            "Sudo",
            "X-Credential-Identifier",
            "X-MemberOf",
            "X-Upn",
            "X-Forwarded",
            "Forwarded-For",
            "X-ForwardedFor",
            "X-RealIP",
            "Client-Addr",
            "X-Peer-Addr",
            "SCRIPT_NAME",
            "script-name",
            "X-Script-Name",
            "PATH_INFO",
            "Query-String",
            "X-Request-Uri",
            "X-Override-URL",
            "X-Matched-Path",
            "x-invoke-path",
            "X-Middleware-Subrequest",
            "api_key",
            "content.type",
            "Mcp_Name",
        ] {
            assert!(is_vouched(name.as_bytes(), &[]), "{name}");
            assert!(!is_vouched(name.as_bytes(), &["*".to_owned()]), "{name}");
        }
    }

    #[test]
    fn what_clients_say_of_themselves_passes() {
        for name in [
            "User-Agent",
            "X-Amz-User-Agent",
            "X-Stripe-Client-User-Agent",
            "X-Goog-User-Project",
            "x-amz-meta-user",
            "X-Object-Meta-Mail",
            "Mcp-Param-User",
            "Mcp-Name",
            "Idempotency-Key",
            "X-Request-Id",
            "X-Requested-With",
            "X-Auth-Token",
            "X-Api-Key",
            "X-CSRF-Token",
            "X-Stainless-Retry-Count",
            "Sec-Fetch-Site",
            "Sec-CH-UA-Platform",
            "Access-Control-Request-Headers",
            "Content-Disposition",
            "X-GitHub-Api-Version",
            "OpenAI-Organization",
            "X-Amz-Content-Sha256",
            "X-Ms-Client-Request-Id",
            "Traceparent",
            "Soapaction",
            "HX-Current-URL",
            "X-Hasura-Admin-Secret",
            "X-Account-Meta-Quota",
            "Dropbox-API-Path-Root",
            "Stripe-Account",
            "X-Amz-Copy-Source",
            "Prefer",
            "Depth",
        ] {
            assert!(!is_vouched(name.as_bytes(), &[]), "{name}");
        }
        assert!(!is_vouched(&[b'a'; 10_000], &[]));
    }

    #[test]
    fn an_operator_says_what_clients_may_send() {
        let ours = ["X-User-Id".to_owned(), "x-tenant-*".to_owned()];
        assert!(!is_vouched(b"x-user-id", &ours) && !is_vouched(b"X-Tenant-User", &ours));
        assert!(is_vouched(b"x_user_id", &ours) && is_vouched(b"x-user-idx", &ours));
    }
}
