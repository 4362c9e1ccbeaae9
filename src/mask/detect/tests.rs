use proptest::prelude::*;

use super::*;

pub(super) fn all() -> Detectors {
    Detectors::new(Detector::ALL.map(|detector| (detector, Operator::Redact)))
}

/// What is found, as `name:text`.
fn found(value: &str) -> Vec<String> {
    let mut scratch = Scratch::default();
    let finds = all().find(value.as_bytes(), &mut scratch).to_vec();
    finds.iter().map(|f| format!("{}:{}", f.detector.name(), &value[f.start..f.end])).collect()
}

fn check(value: &str, expect: &[&str]) {
    assert_eq!(found(value), expect, "in {value:?}");
}

#[test]
fn names_and_labels() {
    for (detector, name) in Detector::ALL.into_iter().zip(NAMES) {
        assert_eq!(detector.name(), name);
        assert_eq!(Detector::parse(name), Some(detector));
        assert!(detector.label().starts_with('['));
    }
    assert_eq!(Detector::parse("shoe-size"), None);
}

#[test]
fn emails() {
    check("bob@example.com", &["email:bob@example.com"]);
    check("<Bob.O+tag@mail.example.co.uk>,", &["email:Bob.O+tag@mail.example.co.uk"]);
    check("mail a_b%c@x-y.org.", &["email:a_b%c@x-y.org"]);
    check("bob@example.com-bounce", &["email:bob@example.com"]);
    check("bob@xn--bcher-kva.xn--p1ai", &["email:bob@xn--bcher-kva.xn--p1ai"]);
    check("bob@b\u{fc}cher.example\u{3002}", &["email:bob@b\u{fc}cher.example"]);
    check("...bob@example.com...", &["email:bob@example.com"]);
    check("a..bob@example.com", &["email:bob@example.com"]);
    check("bob@example.com;eve@example.net", &["email:bob@example.com", "email:eve@example.net"]);
    check("bob@example.com.123", &["email:bob@example.com"]);
}

#[test]
fn no_emails() {
    for text in [
        "@mention",
        "hello @example.com",
        "bob@localhost",
        "bob@1.2.3",
        "pkg@1.2.3-beta",
        "bob.@example.com",
        "git@github.com:org/repo",
        "bob@-example.com",
        "a@b",
        "bob@@example.com",
        "bob@example..com",
    ] {
        check(text, &[]);
    }
}

#[test]
fn cards() {
    check("4111111111111111", &["credit-card:4111111111111111"]);
    check("4111 1111 1111 1111", &["credit-card:4111 1111 1111 1111"]);
    check("card=5500-0000-0000-0004;", &["credit-card:5500-0000-0000-0004"]);
    for zeros in [".0", ".00", ".000000 EUR", ".0, 5.00"] {
        check(&format!("x: 4111111111111111{zeros}"), &["credit-card:4111111111111111"]);
    }
    check("3782 822463 10005", &["credit-card:3782 822463 10005"]);
    check("378282246310005", &["credit-card:378282246310005"]);
    check("3056 930902 5904", &["credit-card:3056 930902 5904"]);
    check("6011111111111117", &["credit-card:6011111111111117"]);
    check("12 4111 1111 1111 1111 03", &["credit-card:4111 1111 1111 1111"]);
    check("2024 4111 1111 1111 1111 123", &["credit-card:4111 1111 1111 1111"]);
    for escape in ["%20", "\\u0020"] {
        for separator in ["", " ", "-", ".", "\u{a0}"] {
            for card in ["4111111111111111", "4111 1111 1111 1111"] {
                let found = format!("credit-card:{card}");
                check(&format!("a{escape}{separator}{card}"), &[&found]);
            }
        }
    }
    check(
        "4111111111111111 5500000000000004",
        &["credit-card:4111111111111111", "credit-card:5500000000000004"],
    );
}

#[test]
fn no_cards() {
    for text in [
        "4111111111111112",
        "0000000000000000",
        "1700000000000",
        "1700000000000000",
        "20240506123000",
        "2024-05-06 12:30:00.123456+00",
        "2024-05-06 12-30-00",
        "550e8400-e29b-41d4-a716-446655440000",
        "41111111-1111-1111-4111-111111111111",
        "4111111111111111.50",
        "4111111111111111.001",
        "4111111111111111.0e3",
        "4111111111111111.0.1",
        "1.4111111111111111",
        "x4111111111111111",
        "4111111111111111y",
        "4111-1111 1111-1111",
        "41111111111111111",
        "4111111111111111111",
        // A trade item as well.
        "4006381333931",
        "4000000000006",
        "1234567890123456789",
        "192.168.100.100 10.0.0.1",
    ] {
        check(text, &[]);
    }
}

#[test]
fn ibans() {
    check("GB82WEST12345698765432", &["iban:GB82WEST12345698765432"]);
    check("to GB82 WEST 1234 5698 7654 32.", &["iban:GB82 WEST 1234 5698 7654 32"]);
    check("DE89370400440532013000", &["iban:DE89370400440532013000"]);
    check("NO9386011117947", &["iban:NO9386011117947"]);
    check("FR1420041010050500013M02606", &["iban:FR1420041010050500013M02606"]);
    check("MT84MALT011000012345MTLCAST001S", &["iban:MT84MALT011000012345MTLCAST001S"]);
    for text in [
        "GB82WEST12345698765433",
        "XX82WEST12345698765432",
        "aGB82WEST12345698765432",
        "GB82WEST123456987654321",
        "GB82WEST1234569876543",
        "Gb82West12345698765432",
        "gb82 west 1234 56987654 32",
        "ee792aa8-388a-4f9d-bc9c-2da94de15682",
    ] {
        check(text, &[]);
    }
    check(
        "DE89 3704 0044 0532 0130 00 4111 1111 1111 1111",
        &["iban:DE89 3704 0044 0532 0130 00", "credit-card:4111 1111 1111 1111"],
    );
}

#[test]
fn social_security_numbers() {
    check("123-45-6789", &["us-ssn:123-45-6789"]);
    check("ssn 123 45 6789,", &["us-ssn:123 45 6789"]);
    check("(123-45-6789)", &["us-ssn:123-45-6789"]);
    for text in [
        "123456789",
        "000-45-6789",
        "666-45-6789",
        "912-45-6789",
        "123-00-6789",
        "123-45-0000",
        "078-05-1120",
        "1-123-45-6789",
        "123-45-6789-0",
        "123-45-67890",
        "0123-45-6789",
        "123-45 6789",
        "1 123 45 6789",
    ] {
        check(text, &[]);
    }
}

#[test]
fn national_numbers() {
    check("911-70-1234", &["us-itin:911-70-1234"]);
    check("911-69-1234", &[]);
    check("QQ123456C AB123456C", &["uk-nino:AB123456C"]);
    check("AB12 34 56 C", &["uk-nino:AB12 34 56 C"]);
    check("BG123456A GB123456A AB123456E AB1234567", &[]);
    check("RSSMRA85T10A562S", &["it-fiscal-code:RSSMRA85T10A562S"]);
    check("RSSMRA85T10A562T", &[]);
    check("AB1234563", &["us-dea:AB1234563"]);
    check("AB1234564", &[]);
    check("1EG4-TE5-MK73, 1EG4TE5MK73", &["us-mbi:1EG4-TE5-MK73", "us-mbi:1EG4TE5MK73"]);
    check("1BG4-TE5-MK73", &[]);
    check("ABCPE1234F", &["in-pan:ABCPE1234F"]);
    check("ABCDE1234F xABCPE1234F", &[]);
    check("11010519491231002X", &["cn-resident-id:11010519491231002X"]);
    check("440524188001010014", &["cn-resident-id:440524188001010014"]);
    check("440524188001010015", &[]);
    check("110105194913310020", &[]);
}

#[test]
fn phones() {
    check("+14155552671", &["phone:+14155552671"]);
    check("call +1 (415) 555-2671!", &["phone:+1 (415) 555-2671"]);
    check("tel:+49 30 901820", &["phone:+49 30 901820"]);
    check("+44.20.7946.0958", &["phone:+44.20.7946.0958"]);
    for text in [
        "2024-05-06 12:30:00+00",
        "+05:30",
        "+1 115 555 2671",
        "+12345678",
        "a+14155552671",
        "+14155552671.5",
        "+1234567890123456",
        "+000000000000",
        "1+2+3",
    ] {
        check(text, &[]);
    }
}

const JWT: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.\
                   dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

#[test]
fn web_tokens() {
    check(&format!("Bearer {JWT}"), &[&format!("jwt:{JWT}")]);
    check(&JWT[..70], &[&format!("jwt:{}", &JWT[..70])]);
    check("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", &["jwt:eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0"]);
    // No header: no `alg`, no JSON, no dot, inside of other base64.
    check("eyJmb28iOiJiYXIifQ.eyJzdWIiOiIxIn0.x", &[]);
    check("eyJhbGciOiJIUzI1NiIs.eyJzdWIiOiIxIn0.x", &[]);
    check("eyJhbGciOiJub25lIn0", &[]);
    check(&format!("AA{JWT}"), &[]);
}

#[test]
fn private_keys() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIE+/=\n\
               -----END RSA PRIVATE KEY-----";
    check(&format!("a {key} b"), &[&format!("private-key:{key}")]);
    check(&key[..50], &[&format!("private-key:{}", &key[..50])]);
    let pgp = "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQdG\n-----END PGP PRIVATE KEY BLOCK-----";
    check(pgp, &[&format!("private-key:{pgp}")]);
    check("-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", &[]);
    check("-----BEGIN RSA PUBLIC KEY-----\nMIIE\n-----END RSA PUBLIC KEY-----", &[]);
    let age = format!("AGE-SECRET-KEY-1{}", "Q".repeat(58));
    check(&age, &[&format!("private-key:{age}")]);
}

/// Each line of a key is covered, whatever stands around it, and nothing else is.
#[test]
fn lines_of_keys() {
    let long = ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"; 3];
    let lines = [&long[..], &["aGVsbG8gd29ybGQ="]].concat();
    for (before, after) in [
        ("> ", ""),
        ("< ", ""),
        ("# ", ""),
        ("| ", ""),
        ("app-1  | ", ""),
        ("Nov 29 01:00:00 web app[12]: ", ""),
        ("  1   \u{2502} ", ""),
        ("\"", "\","),
        ("\"", "\\n\" +"),
        ("<p>", "</p>"),
        ("", "$"),
        ("", "^M$"),
        ("    '", "'"),
    ] {
        let decorate = |line: &&str| format!("{before}{line}{after}\n");
        let (begin, end) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
        let all = [&[begin][..], &lines, &[end, "the line behind"]].concat();
        let text: String = all.iter().map(decorate).collect();
        let found = found(&text).concat();
        for line in &lines {
            assert!(found.contains(line), "{text} {found}");
        }
        assert!(!found.contains("behind"), "{found}");
    }
    let mention = format!("-----BEGIN PRIVATE KEY-----|{}{}", "word ".repeat(200), long[0]);
    check(&mention, &["private-key:-----BEGIN PRIVATE KEY-----"]);
}

#[test]
fn tokens() {
    let random = "a8Kd0Zq1Lr7Xw3Vb9Nt5Ym2Cs6Hf4Gj8Pe1Ru3Ti5Oa7Sd9Fg2Hj4Kl6Zx8Cv0Bn";
    for token in [
        "AKIAIOSFODNN7EXAMPLE".to_owned(),
        format!("ghp_{}", &random[..36]),
        format!("github_pat_{}", &random[..60]),
        format!("glpat-{}", &random[..20]),
        format!("xoxb-123456789012-{}", &random[..24]),
        format!("sk_live_{}", &random[..24]),
        format!("sk-ant-api03-{}", &random[..40]),
        format!("sk-proj-{}", &random[..48]),
        format!("AIza{}", &random[..35]),
        format!("npm_{}", &random[..36]),
        format!("hf_{}", &random[..34]),
        format!("SG.{}.{}", &random[..22], &random[..43]),
        format!("dop_v1_{}", "0123456789abcdef".repeat(4)),
    ] {
        check(&token, &[&format!("token:{token}")]);
        check(&format!("key={token}."), &[&format!("token:{token}")]);
        check(&format!("zz{token}"), &[]);
        check(&token[..token.len() / 2], &[]);
    }
    check("AKIAIOSFODNN7EXAMPLEX", &[]);
    check("task-management-and-planning-of-the-next-quarter-for-teams", &[]);
    check("sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", &[]);
}

#[test]
fn url_passwords() {
    check("postgres://app:s3cr3t@db:5432/x", &["url-password:s3cr3t"]);
    check("https://u:p%40ss@example.com/", &["url-password:p%40ss"]);
    check("amqp://u:p@ss@host", &["url-password:p@ss"]);
    check("https://example.com/a:b@c", &[]);
    check("https://user@example.org", &[]);
    check("postgres://app:****@db/x", &[]);
    check("see ://u:p@h", &[]);
}

#[test]
fn password_hashes() {
    let scram = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtb\
                 sT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    check(scram, &[&format!("password-hash:{scram}")]);
    let bcrypt = format!("$2b$12${}", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ1");
    check(&bcrypt, &[&format!("password-hash:{bcrypt}")]);
    check("$2b$12 is the price", &[]);
}

#[test]
fn detectors_that_are_off_find_nothing() {
    let mut scratch = Scratch::default();
    let only = Detectors::new([(Detector::Jwt, Operator::Redact)]);
    let text = format!("bob@example.com 4111111111111111 123-45-6789 {JWT} postgres://a:b@c");
    let finds = only.find(text.as_bytes(), &mut scratch);
    assert_eq!(finds.len(), 1);
    assert_eq!(finds[0].detector, Detector::Jwt);
}

/// A literal of three bytes that asks for sixty more costs at most this.
const WORK_PER_BYTE_MAX: f64 = 24.0;

/// Verifiers may look at a byte a bounded number of times, whatever the bytes are.
fn work_per_byte(piece: &str) -> f64 {
    let value: Vec<u8> = piece.bytes().cycle().take(20_000).collect();
    let mut scratch = Scratch::default();
    all().find(&value, &mut scratch);
    scratch.finds.work as f64 / value.len() as f64
}

#[test]
fn work_stays_linear() {
    for piece in [
        "1",
        "1 ",
        "1-",
        "4111 1111 1111 1112 ",
        "4111111111111111 ",
        "123-45-6789-",
        "a@a",
        "@a",
        "a.b@c.d.e.f@",
        "@aaaaaaaa.",
        "a@b.c1.",
        "GB82 ",
        "GB82WEST1234569876543 ",
        "MT84 MALT 0110 ",
        "+1",
        "+1 ",
        "+1415555267 ",
        "AB12",
        "ABCPE1234",
        "AB123456",
        "eyJ",
        "eyJ.",
        "eyJ/",
        "eyJhbGciOiJub25lIn0.",
        "eyJhbGciOiJub25lIn0/",
        "-----BEGIN ",
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\"",
        "-----BEGIN RSA PRIVATE KEY----- -----END ",
        "-----BEGIN RSA PRIVATE KEY-----|MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIB|",
        "4111_",
        "4111_1111_1111_1111_",
        "4111\u{a0}",
        "\u{ff11}",
        "1\\u00a0",
        "415-555-",
        "415-555-2671-",
        "a@b.c:",
        "a:b@c.de ",
        "\"a\"@b.c",
        "%40a.de",
        "LS0tLS1CRUdJTi",
        "12345678:AA",
        "://",
        "a://b:c",
        "a://b:c@",
        "a://b:c@ ",
        "sk-",
        "sk-ant-",
        "sk-ant-sk-",
        "SG.",
        "SG..",
        ".SG.",
        "=AccountKey=",
        "$2b$",
        "$5$$6$",
        "ghp_",
        "-sk-",
        "xoxb-",
    ] {
        let work = work_per_byte(piece);
        assert!(work < WORK_PER_BYTE_MAX, "{work} per byte of {piece:?}");
    }
}

/// A text that speaks of keys, and then has one whose first line is farther than is looked.
#[test]
fn a_key_behind_the_mention_of_one_is_covered() {
    const LINE: &str = "QyNTUxOQAAACB0VhbGwgb2YgdGhpcyBpcyBubyBrZXkgYXQgYWxsLCBidXQgaXQg";
    const MARGIN: &str = "Nov 29 01:00:00 web app[12]: ";
    let head = "-----BEGIN PRIVATE KEY-----";
    for words in 400..560 {
        let said = "? ".repeat(words / 2);
        let lines = [head, LINE, LINE, "-----END"].map(|line| format!("\n{MARGIN}{line}"));
        let value = format!("{head}{said}{}", lines.concat());
        let mut scratch = Scratch::default();
        let finds = all().find(value.as_bytes(), &mut scratch);
        for (at, _) in value.match_indices(LINE) {
            assert!(finds.iter().any(|it| it.start <= at && at + LINE.len() <= it.end), "{words}");
        }
    }
}

/// What stands between a key that is cut off and the next one is searched.
#[test]
fn what_stands_between_keys_is_found() {
    let key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----";
    let cut = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----EN.D PRIVATE KEY-----";
    let value = format!("{cut} u 123-45-6789 4539148803436467 {key} 4539148803436467");
    let mut scratch = Scratch::default();
    let finds = all().find(value.as_bytes(), &mut scratch);
    for (at, _) in value.match_indices("4539148803436467") {
        assert!(finds.iter().any(|it| it.start <= at && at + 16 <= it.end), "{finds:?}");
    }
}

proptest! {
    #[test]
    fn finds_are_sorted_and_inside(pieces in prop::collection::vec(prop::sample::select(vec![
        "4111 1111 1111 1111", "bob@example.com", "GB82WEST12345698765432", "123-45-6789", " ",
        "-", "@", "1", "eyJ", JWT, "://u:p@h ", "-----BEGIN PRIVATE KEY-----", ".", "\u{fc}",
    ]), 0..30)) {
        let value = pieces.concat();
        let mut scratch = Scratch::default();
        let finds = all().find(value.as_bytes(), &mut scratch);
        let mut floor = 0;
        for find in finds {
            prop_assert!(floor <= find.start && find.start < find.end && find.end <= value.len());
            floor = find.end;
        }
        prop_assert!(scratch.finds.work <= (WORK_PER_BYTE_MAX * value.len() as f64) as u64 + 128);
    }

    #[test]
    fn any_bytes_are_fine(value in prop::collection::vec(any::<u8>(), 0..500)) {
        let mut scratch = Scratch::default();
        all().find(&value, &mut scratch);
    }
}
