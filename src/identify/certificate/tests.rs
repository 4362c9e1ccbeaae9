use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::*;

fn certificate(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/identify/testdata");
    CertificateDer::from_pem_file(path.join(name)).expect("a certificate").to_vec()
}

/// The hashes are those of `openssl dgst` over the certificate.
#[test]
fn the_binding_is_the_hash_of_the_certificate_under_the_hash_of_its_signature() {
    let check = |name: &str, expect: Option<&str>| {
        let hash = end_point(&certificate(name));
        let hex = hash.map(|hash| hash.iter().map(|b| format!("{b:02x}")).collect::<String>());
        assert_eq!(hex.as_deref(), expect, "{name}");
    };
    check("client.pem", Some("4408adf8b1f93f146c12b9beb42a95a9cf009b35156f4322991f7fd56779c2d3"));
    check(
        "sha384.pem",
        Some(
            "31a36fd01721782b07ef2f4be810fd9f5631b0077ec1410b\
             09d1116f78abe9988ab7ae54b123cb2a699eec69245338e4",
        ),
    );
    check("ed25519.pem", None);
    assert_eq!(end_point(b"no certificate"), None);
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn all_names_of_a_certificate_are_read() {
    let names = Names::read(&certificate("client.pem")).expect("a certificate");
    let expect = Names {
        distinguished: "CN=ci-bot,OU=night shift,OU=agents,O=Example".to_owned(),
        common: texts(&["ci-bot"]),
        units: texts(&["agents", "night shift"]),
        dns: texts(&["ci.example.org"]),
        email: texts(&["ci@example.org"]),
        uri: texts(&["spiffe://example.org/ns/build/sa/ci"]),
    };
    assert_eq!(names, expect);
}

#[test]
fn the_first_section_that_takes_a_name_says_who_it_is() {
    let spec = |name, matches: &[&str], groups: &[&str], units_are_groups| CertificateSpec {
        name,
        matches: texts(matches),
        groups: texts(groups),
        units_are_groups,
    };
    let check = |specs: &[CertificateSpec], expect: Option<(&str, &[&str])>| {
        let found = identity(specs, &certificate("client.pem"));
        let expect = expect.map(|(user, groups)| Identity {
            user: user.to_owned(),
            groups: texts(groups),
            method: Method::Certificate,
        });
        assert_eq!(found, expect, "{specs:?}");
    };
    let spiffe = "spiffe://example.org/ns/*/sa/ci";
    check(&[], None);
    check(&[spec(CertificateName::Common, &[], &["a"], false)], Some(("ci-bot", &["a"])));
    check(&[spec(CertificateName::Common, &["*-person"], &["a"], false)], None);
    check(
        &[
            spec(CertificateName::Email, &["*@example.com"], &["other"], false),
            spec(CertificateName::Spiffe, &[spiffe], &["agents"], true),
            spec(CertificateName::Common, &[], &["late"], false),
        ],
        Some(("spiffe://example.org/ns/build/sa/ci", &["agents", "night shift"])),
    );
    check(&[spec(CertificateName::Dns, &["ci.*"], &[], false)], Some(("ci.example.org", &[])));
}

#[test]
fn a_name_of_a_certificate_is_one_host_or_those_of_one_label_below() {
    let hosts = Hosts(vec![
        texts(&["first.test"]),
        texts(&["*.app.test", "App.test"]),
        texts(&["a.app.test", "*.test", "*"]),
    ]);
    for (host, place) in [
        ("first.test", 0),
        ("APP.test", 1),
        ("app.test.", 1),
        ("b.app.test", 1),
        // The first that has it.
        ("a.app.test", 1),
        ("x.b.app.test", 0),
        (".app.test", 0),
        ("other.example", 0),
        ("localhost", 0),
        ("", 0),
    ] {
        assert_eq!(hosts.place(host), place, "{host}");
    }
    // A star stands for no whole domain.
    assert_eq!(hosts.place("whole.test"), 0);
}

proptest::proptest! {
    #[test]
    fn no_bytes_are_a_panic(mut bytes: Vec<u8>, cut in 0usize..600, at in 0usize..600) {
        let _ = Names::read(&bytes);
        let whole = certificate("client.pem");
        bytes.truncate(4);
        let mut damaged = whole.get(..cut.min(whole.len())).unwrap_or_default().to_vec();
        damaged.extend(whole.get(cut.min(whole.len())..).unwrap_or_default());
        if let (Some(byte), Some(new)) = (damaged.get_mut(at), bytes.first()) {
            *byte = *new;
        }
        let _ = (Names::read(&damaged), end_point(&damaged));
        damaged.truncate(cut);
        let _ = (Names::read(&damaged), end_point(&damaged));
    }
}
