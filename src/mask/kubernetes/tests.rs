use super::*;
use crate::mask::Hits;
use crate::mask::body::{Masker, Shape};

/// What is left of a document under masks, in pieces of every length.
fn left(rules: &Rules, document: &str) -> String {
    let rules = Rc::new(rules.clone());
    let all = |piece: usize| {
        let mut masker = Masker::new(Rc::clone(&rules), Shape::Json).expect("JSON");
        let (mut out, mut hits) = (Vec::new(), Hits::default());
        for part in document.as_bytes().chunks(piece) {
            masker.push(part, &mut out, &mut hits).expect("JSON");
        }
        masker.finish(&mut out, &mut hits).expect("JSON");
        String::from_utf8(out).expect("text")
    };
    let whole = all(usize::MAX);
    for piece in [1, 2, 3, 7] {
        assert_eq!(all(piece), whole, "in pieces of {piece}");
    }
    whole
}

fn of(paths: Vec<(String, Operator)>) -> Masks {
    Masks::new(("", Answer::Object), paths, Rc::default())
}

/// What a document of a shape answers.
fn answer_in(shape: &str) -> Answer {
    match shape {
        "" => Answer::Object,
        "items.*." | "rows.*.object." => Answer::List,
        _ => Answer::Events,
    }
}

/// An object, also as what was last applied, in every shape of answer.
fn shapes(object: &str) -> Vec<String> {
    let applied = serde_json::Value::from(object).to_string();
    let inner = object.strip_prefix('{').expect("an object");
    let whole = format!(
        r#"{{"metadata":{{"name":"s","annotations":{{"a":"shown",
        "kubectl.kubernetes.io/last-applied-configuration":{applied}}}}},{inner}"#
    );
    let table = format!(r#"{{"kind":"Table","rows":[{{"cells":["s","x"],"object":{whole}}}]}}"#);
    vec![
        whole.clone(),
        format!(r#"{{"kind":"SomeList","items":[{whole},{whole}]}}"#),
        table.clone(),
        format!(r#"{{"type":"ADDED","object":{whole}}}"#),
        format!(r#"{{"type":"ADDED","object":{table}}}"#),
    ]
}

const SECRET: &str = r#"{"kind":"Secret","type":"Opaque",
    "data":{"k":"HIDDEN","k.2":"HIDDEN"},"stringData":{"k":"HIDDEN"}}"#;
const POD: &str = r#"{"kind":"Pod","spec":{"containers":[{"image":"shown","name":"a",
    "env":[{"name":"B","value":"HIDDEN"}]}],"initContainers":[{"env":[{"value":"HIDDEN"}]}]}}"#;

#[test]
fn values_are_hidden_in_every_shape_of_answer() {
    let paths = |paths: &[&str], kind: &str| {
        let named = |path: &&str| named(kind, (*path).to_owned(), Operator::Redact);
        of(paths.iter().flat_map(named).collect())
    };
    let env = "spec.containers.*.env.*.value";
    let init = "spec.initContainers.*.env.*.value";
    for (masks, object) in [
        (of(places("Secret", Operator::Redact)), SECRET),
        (paths(&["data", "stringData.k"], "Secret"), SECRET),
        (of(places("Pod", Operator::Redact)), POD),
        (paths(&[env, init], "Pod"), POD),
        (paths(&["spec.**.value"], "Pod"), POD),
    ] {
        for document in shapes(object) {
            let left = left(&masks.rules, &document);
            assert!(!left.contains("HIDDEN"), "{left}");
            assert!(left.contains("shown"), "{left}");
            let read: serde_json::Value = serde_json::from_str(&left).expect("JSON");
            let applied = read.pointer("/metadata/annotations").and_then(|it| {
                it.get("kubectl.kubernetes.io/last-applied-configuration")?.as_str()
            });
            // `kubectl apply` reads it.
            let applied = applied.map(serde_json::from_str::<serde_json::Value>);
            assert!(applied.is_none_or(|applied| applied.is_ok()), "{left}");
        }
    }
}

/// A revision has its workload's template one field deeper, and what was last applied of the
/// workload in its own shape.
#[test]
fn a_revision_hides_what_its_workload_hides() {
    let of_set = r#"{"kind":"DaemonSet","spec":{"template":{"spec":{"containers":[
        {"image":"shown","env":[{"name":"A","value":"HIDDEN"}]}]}}}}"#;
    let applied = serde_json::Value::from(of_set).to_string();
    let revision = format!(
        r#"{{"kind":"ControllerRevision","metadata":{{"annotations":{{
        "kubectl.kubernetes.io/last-applied-configuration":{applied}}}}},"data":{of_set}}}"#
    );
    let masks = of(places("ControllerRevision", Operator::Redact));
    let left = left(&masks.rules, &revision);
    assert!(!left.contains("HIDDEN") && left.contains("shown"), "{left}");
}

/// `data` is base64, also in what was last applied, and where paths hide other values.
#[test]
fn detectors_search_what_base64_stands_for() {
    use base64::Engine as _;
    const CARD: &str = "4111111111111111";
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let card = crate::mask::detect::Detector::parse("credit-card").expect("a detector");
    let detectors = Rc::new(Detectors::new([(card, Operator::Redact)]));
    let (coded, shown) = (base64(&format!("card {CARD}")), base64("a word"));
    let object = |field: &str| {
        format!(r#"{{"kind":"K","{field}":{{"a":"{coded}","b":"shown","c":"{shown}"}}}}"#)
    };
    let hidden = || vec![("spec.x".to_owned(), Operator::Token)];
    for (kind, field) in [("Secret", "data"), ("ConfigMap", "binaryData")] {
        for paths in [Vec::new(), hidden()] {
            let masks = Masks::new((kind, Answer::Object), paths, Rc::clone(&detectors));
            assert!(!masks.hides_all(kind));
            for document in shapes(&object(field)) {
                let left = left(&masks.rules, &document);
                assert!(!left.contains(&coded) && !left.contains(CARD), "{left}");
                assert!(left.contains(&base64("card [CREDIT_CARD]")), "{left}");
                assert!(left.contains("shown") && left.contains(&shown), "{left}");
            }
        }
    }
    // Releases of helm stand in ConfigMaps, too, and logins in JSON that is a value.
    let other = Masks::new(("ConfigMap", Answer::Object), Vec::new(), Rc::clone(&detectors));
    assert!(!left(&other.rules, &object("data")).contains(&coded));
    let login = format!(r#"{{"auths":{{"a.io":{{"auth":"{coded}","user":"shown"}}}}}}"#);
    let secret = Masks::new(("Secret", Answer::Object), Vec::new(), Rc::clone(&detectors));
    for (field, value) in [("data", base64(&login)), ("stringData", login.clone())] {
        let object = serde_json::json!({"kind": "Secret", field: {"c": value}}).to_string();
        let left = left(&secret.rules, &object);
        assert!(!left.contains(&coded) && !left.contains(&base64(&login)), "{left}");
        assert!(brings_back(left.as_bytes()), "{left}");
    }
    let plain =
        r#"{"kind":"Secret","stringData":{"c":"{\"auth\":\"bm90aGluZyBpbiBpdCBhdCBhbGw=\"}"}}"#;
    assert_eq!(left(&secret.rules, plain), plain);
    assert!(of(places("Secret", Operator::Redact)).hides_all("Secret"));
    assert!(!of(places("Pod", Operator::Redact)).hides_all("Secret"));
}

#[test]
fn the_other_field_of_a_secret_is_hidden_too() {
    for path in ["data.k", "stringData.k", "data", "data.*"] {
        let masks = of(named("Secret", path.to_owned(), Operator::Redact));
        for document in shapes(&SECRET.replace(r#","k.2":"HIDDEN""#, "")) {
            let left = left(&masks.rules, &document);
            assert!(!left.contains("HIDDEN"), "{path}: {left}");
        }
    }
    let form = |path: &str| named("Secret", path.to_owned(), Operator::Redact);
    assert_eq!(form("data.k")[0], ("stringData.k".to_owned(), Operator::Token));
    assert_eq!(form("stringData.k")[0], ("data.k".to_owned(), Operator::TokenBase64));
    assert_eq!(named("ConfigMap", "data.k".to_owned(), Operator::Redact).len(), 1);
}

#[test]
fn keys_with_dots_are_written_with_a_backslash() {
    let object = r#"{"kind":"Secret","metadata":{"annotations":{"a.io/key":"HIDDEN",
        "a":{"io/key":"shown"}}},"data":{"tls.key":"HIDDEN","tls":"shown"}}"#;
    let mut paths = named("Secret", "data.tls\\.key".to_owned(), Operator::Redact);
    assert_eq!(paths[0].0, "stringData.tls\\.key");
    let annotation = "metadata.annotations.a\\.io/key".to_owned();
    paths.extend(named("Secret", annotation.clone(), Operator::Redact));
    let masks = of(paths);
    for document in shapes(object) {
        let left = left(&masks.rules, &document);
        assert!(!left.contains("HIDDEN"), "{left}");
        assert_eq!(left.matches("shown").count(), document.matches("shown").count(), "{left}");
    }
    assert!(pointer_tells("/metadata/annotations/a.io~1key", &annotation));
    assert!(!pointer_tells("/metadata/annotations/a/io~1key", &annotation));
    assert!(brings(&serde_json::json!({"data": {"tls.key": "x"}}), "data.tls\\.key"));
}

#[test]
fn names_of_fields_that_hold_values_are_hidden() {
    const WIDGET: &str = r#"{"kind":"Widget","spec":{"set":["HIDDEN"],"list":[{"k":"HIDDEN"}]},
        "metadata":{"name":"shown","managedFields":[{"manager":"kubectl","fieldsV1":{
        "f:metadata":{"f:finalizers":{".":{},"v:\"kept\"":{}}},
        "f:spec":{"f:set":{"v:\"HIDDEN\"":{},"v:\"HIDDEN2\"":{}},"f:list":
        {"k:{\"k\":\"HIDDEN\",\"n\":7}":{".":{},"f:k":{}}}}}}]}}"#;
    let lists = [("spec.set.*", Operator::Token), ("spec.list.*.k", Operator::Token)];
    let lists = lists.map(|(path, operator)| (path.to_owned(), operator)).to_vec();
    for (paths, all) in [(lists, false), (places("", Operator::Redact), true)] {
        for shape in SHAPES {
            let masks = Masks::new(("", answer_in(shape)), paths.clone(), Rc::default());
            let wrap = |whole: String, part: &str| match part {
                "" => whole,
                "*" => format!("[{whole}]"),
                part => format!(r#"{{"{part}":{whole}}}"#),
            };
            let document = shape.split('.').rev().fold(WIDGET.to_owned(), wrap);
            let left = left(&masks.rules, &document);
            assert!(!left.contains("HIDDEN"), "{left}");
            // Tables are not asked for where everything is hidden.
            if all && shape == "object.rows.*.object." {
                continue;
            }
            assert!(left.contains(r#"v:\"kept\""#) && left.contains("f:set"), "{left}");
            assert!(left.contains(r#""shown""#) && left.contains(r#"{\"k\":\"weir-"#));
            assert_eq!(left.contains(r#"\"n\":7"#), !all, "{left}");
            let members = left.matches(r#""v:\"weir-masked-"#);
            assert_eq!(members.count(), 2);
            assert!(serde_json::from_str::<Value>(&left).is_ok() && brings_back(left.as_bytes()));
        }
        let masks = of(paths);
        let tells = |pointer: &str| masks.hidden.iter().any(|it| pointer_tells(pointer, it));
        assert!(tells(r#"/metadata/managedFields/0/fieldsV1/f:spec/f:set/v:"a""#));
        assert!(!tells("/metadata/labels/a"));
    }
    // Places of Kubernetes' own kinds are in no name.
    assert!(!of(vec![]).hidden.contains(&managed::FIELDS_OWNED.to_owned()));
    let env = Masks::new(("Pod", Answer::Object), places("Pod", Operator::Redact), Rc::default());
    assert!(!env.hidden.contains(&managed::FIELDS_OWNED.to_owned()));
}

#[test]
fn what_an_apiserver_says_of_an_act_is_no_value() {
    const DONE: &str = r#"{"kind":"Status","apiVersion":"v1","status":"Success",
        "details":{"name":"w","kind":"widgets"}}"#;
    const GONE: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
        "message":"widgets.ex.io \"w\" not found","reason":"NotFound","code":404}"#;
    let masks = of(places("", Operator::Redact));
    assert_eq!(left(&masks.rules, DONE), DONE);
    assert_eq!(left(&masks.told, GONE), GONE);
    let event = format!(r#"{{"type":"ERROR","object":{}}}"#, GONE.replace("widgets", "HIDDEN"));
    let events = Masks::new(("", Answer::Events), places("", Operator::Redact), Rc::default());
    assert!(left(&events.rules, &event).contains(r#""reason":"NotFound","code":404"#));
    assert!(left(&events.rules, &event).contains(r#""status":"Failure""#));
    assert!(!left(&events.rules, &event).contains("HIDDEN"));
    let left_of = |document: &str| left(&masks.rules, document);
    for value in [
        r#"{"status":"HIDDEN"}"#,
        r#"{"status":{"phase":"Success"}}"#,
        r#"{"status":{"status":"Failure"}}"#,
        r#"{"spec":{"status":"Success"}}"#,
        r#"{"items":[{"status":"Success"}]}"#,
        r#"{"status":["Success"]}"#,
        r#"{"apiVersion":"a.io/v1","kind":"Status","reason":"HIDDEN"}"#,
        r#"{"details":{"name":"HIDDEN"},"kind":"Status","apiVersion":"v1"}"#,
        r#"{"kind":"Status","apiVersion":"v1","details":{"other":"HIDDEN"}}"#,
    ] {
        let left = left_of(value);
        assert!(left.contains("weir-masked"), "{left}");
    }
    assert!(left(&masks.told, r#"{"spec":"HIDDEN"}"#).contains("weir-masked"));
}

#[test]
fn what_was_last_applied_and_is_no_json_is_hidden() {
    let masks = of(places("Secret", Operator::Redact));
    for text in ["data: HIDDEN", "HIDDEN", r#"{\"data\":{\"k\":\"HIDDEN"#, " [HIDDEN"] {
        let document = format!(
            r#"{{"metadata":{{"annotations":{{
            "kubectl.kubernetes.io/last-applied-configuration":"{text}"}}}}}}"#
        );
        assert!(!left(&masks.rules, &document).contains("HIDDEN"), "{text}");
    }
}

#[test]
fn what_is_wrong_with_an_object_is_told_without_values() {
    let masks = of(places("Pod", Operator::Redact));
    let told = r#"{"message":"Pod \"a\" is invalid: spec: Forbidden: HIDDEN","code":422,
        "details":{"causes":[{"message":"Forbidden: HIDDEN","field":"spec"},
        {"message":"HIDDEN"}]}}"#;
    let left = left(&masks.invalid, told);
    assert_eq!(left, told.replace("spec: Forbidden: HIDDEN", "***").replace("HIDDEN", "***"));
}

#[test]
fn environments_of_pods_and_templates() {
    assert_eq!(environment("Deployment")[0], "spec.template.spec.containers.*.env.*.value");
    assert_eq!(environment("Secret"), Vec::<String>::new());
    for (kind, _) in POD_SPECS {
        assert!(RESOURCES.iter().any(|(_, _, known)| *known == kind), "{kind}");
    }
}

#[test]
fn cells_of_tables_show_other_fields() {
    let tables = |path: &str| of(vec![(path.to_owned(), Operator::Redact)]).tables;
    assert!(tables("data.password") && tables("data") && tables("stringData.*"));
    assert!(tables("spec.template.spec.containers.*.env.*.value"));
    assert!(!tables("status.podIP") && !tables("spec.nodeName") && !tables("**.token"));
    assert!(!tables("dataset") && !tables("spec"));
}

#[test]
fn a_placeholder_is_found_wherever_it_comes_back() {
    assert!(!brings_back(SECRET.as_bytes()));
    for form in [Form::Base64, Form::Text] {
        let placeholder = placeholder(0x1234, form);
        assert!(brings_back(format!("data:\n  k: {placeholder}\n").as_bytes()));
        assert!(brings_back(&[b"\x0a\x1c", placeholder.as_bytes(), b"\x12"].concat()));
    }
    assert_eq!(placeholder(0x1234, Form::Text), "weir-masked-0000000000001234");
    // In the midst of a value, as detectors leave it.
    use base64::Engine as _;
    for before in ["", "a", "ab", "abc", "card "] {
        for behind in ["", "x", " and", " and so on"] {
            let value = format!("{before}{PLACEHOLDER}EMAIL{behind}");
            let coded = base64::engine::general_purpose::STANDARD.encode(value);
            assert!(brings_back(coded.as_bytes()), "{before:?} {behind:?}");
        }
    }
    assert_eq!(placeholder(1, Form::Base64).len() % 4, 0);
    // Spelt in another way.
    for body in [
        r#"[{"op":"add","path":"/data/v","value":"\u0077eir-masked-00"}]"#,
        r#"{"data":{"v":"\u0064\u0032Vpci1tYXNrZWQtMDA="}}"#,
        r#"{"metadata":{"annotations":{"a":"{\"k\":\"\\u0077eir-masked-00\"}"}}}"#,
        r#"{"data":{"v":"IyMjIyMjd2Vp\nci1tYXNr\r\nZWQtRU1BSUw="}}"#,
        "data:\n  v: \"weir-\\x6dasked-EMAIL\"\n",
        "data:\n  v: \"weir-ma\\\n    sked-EMAIL\"\n",
        "data:\n  v: |\n    IyMjIyMjd2Vp\n    ci1tYXNr\n    ZWQtRU1BSUw=\n",
    ] {
        assert!(brings_back(body.as_bytes()), "{body}");
    }
    for body in ["", "\\", "\\u00", "weir masks this", r#"{"a":"\u20ac \\u0077eir"}"#] {
        assert!(!brings_back(body.as_bytes()), "{body}");
    }
}

#[test]
fn what_brings_a_value_to_a_hidden_path_is_found() {
    let check = |object: &str, path: &str, expect: bool| {
        let object = serde_json::from_str(object).expect("JSON");
        assert_eq!(brings(&object, path), expect, "{object} {path}");
    };
    check(r#"{"data":{"k":"a"}}"#, "data.*", true);
    check(r#"{"data":{"k":"a"}}"#, "data", true);
    check(r#"{"data":{"k":null}}"#, "data.*", false);
    check(r#"{"data":{}}"#, "data.*", false);
    check(r#"{"metadata":{"labels":{"data":"k"}}}"#, "data.*", false);
    check(POD, "spec.containers.*.env.*.value", true);
    check(POD, "spec.containers.0.env.*.value", true);
    check(POD, "spec.containers.1.env.*.value", false);
    check(POD, "**.value", true);
    check(POD, "spec.**", true);
    check(POD, "**.values", false);
    check(r#"{"metadata":{"annotations":{"kapp.k14s.io/original":"a"}}}"#, APPLIED[1], true);
}

#[test]
fn a_patch_that_could_tell_a_value_is_found() {
    fn check(pointer: &str, path: &str, expect: bool) {
        assert_eq!(pointer_tells(pointer, path), expect, "{pointer} {path}");
    }
    check("", "data.*", true);
    check("/data", "data.*", true);
    check("/data/k", "data.*", true);
    check("/data/k/deep", "data.*", true);
    check("/metadata/labels/a", "data.*", false);
    check("/datax", "data.*", false);
    check("no pointer", "data.*", true);
    check("/spec/containers/0/env/1/value", "spec.containers.*.env.*.value", true);
    check("/spec/containers/0/image", "spec.containers.*.env.*.value", false);
    let applied = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
    check(applied, APPLIED[0], true);
    check("/metadata/annotations/other", APPLIED[0], false);
}

#[test]
fn every_field_but_metadata_is_hidden_without_paths() {
    const OBJECT: &str = r#"{"apiVersion":"a.io/v1","kind":"shown","metadata":{"name":"shown"},
        "topSecret":"HIDDEN","items":["HIDDEN"],"object":{"a":"HIDDEN"},"rows":[{"a":"HIDDEN"}],
        "type":"HIDDEN","handler":"HIDDEN","code":"HIDDEN","n":{"metadata":"HIDDEN"}}"#;
    for kind in ["", "ServiceAccount", "Event", "HorizontalPodAutoscaler", SCALE_OF_ANY] {
        for (answer, document) in [
            (Answer::Object, OBJECT.to_owned()),
            (Answer::List, format!(r#"{{"kind":"shown","items":[{OBJECT},{OBJECT}]}}"#)),
            (Answer::Events, format!(r#"{{"type":"shown","object":{OBJECT}}}"#)),
        ] {
            let hidden = places(kind, Operator::Redact);
            let masks = Masks::new((kind, answer), hidden, Rc::default());
            let left = left(&masks.rules, &document);
            assert!(!left.contains("HIDDEN"), "{left}");
            assert_eq!(left.matches("shown").count(), document.matches("shown").count(), "{left}");
            let object = serde_json::from_str(OBJECT).expect("JSON");
            assert!(masks.hidden.iter().any(|path| !is_applied(path) && brings(&object, path)));
            assert!(masks.hidden.iter().any(|path| pointer_tells("/topSecret", path)));
            assert!(!masks.hidden.iter().any(|path| pointer_tells("/metadata/name", path)));
        }
    }
    assert_eq!(Answer::of("deletecollection"), Answer::List);
    assert_eq!(Answer::of("delete"), Answer::Object);
}

#[test]
fn annotations_that_are_more_than_words_are_hidden() {
    let object = |text: &str| {
        serde_json::json!({"metadata": {"annotations": {"other.io/applied": text}}}).to_string()
    };
    let masks = of(places("Secret", Operator::Redact));
    for text in ["[{\"type\":\"External\"}]", "a: HIDDEN\nb: c", &"H4sIAAAA/+".repeat(7)] {
        assert!(left(&masks.rules, &object(text)).contains("weir-masked"), "{text}");
        assert!(!left(&masks.rules, &object(text)).contains(text), "{text}");
    }
    let words = object("revision 3 of https://example.com/a");
    assert_eq!(left(&masks.rules, &words), words);
    let long = object(&"[a] ".repeat(1 << 18));
    assert!(left(&masks.rules, &long).len() < 200);
    let told = "/metadata/annotations/other.io~1applied";
    assert!(masks.hidden.iter().any(|path| pointer_tells(told, path)));
    assert!(of(Vec::new()).hidden.is_empty(), "nothing is hidden");
}

#[test]
fn one_field_has_two_names_in_two_versions() {
    let hides = |kind: &str, path: &str, other: &str| {
        let all = named(kind, path.to_owned(), Operator::Redact);
        all.iter().any(|(path, _)| path == other)
    };
    assert!(hides("Event", "message", "note") && hides("Event", "note", "message"));
    assert!(hides("Event", "involvedObject.name", "regarding"));
    assert!(!hides("Event", "messages", "note") && !hides("", "message", "note"));
    let old = "spec.targetCPUUtilizationPercentage";
    assert!(hides("HorizontalPodAutoscaler", "spec.metrics.**", old));
}

#[test]
fn a_scale_shows_nothing_of_what_is_hidden_elsewhere() {
    let of_path = |kind: &str, path: &str| named(kind, path.to_owned(), Operator::Redact);
    for (kind, path) in [(SCALE_OF_ANY, "spec.num"), (SCALE, "spec.selector"), (SCALE, "**")] {
        assert_eq!(of_path(kind, path), [(REST.to_owned(), Operator::Token)], "{kind} {path}");
    }
    let env = "spec.template.spec.containers.*.env.*.value";
    assert_eq!(of_path(SCALE, env)[0].0, env);
    assert_eq!(of_path(SCALE_OF_ANY, "metadata.labels.a")[0].0, "metadata.labels.a");
    assert!(places(SCALE, Operator::Redact).is_empty());
    assert_eq!(places(SCALE_OF_ANY, Operator::Redact)[0].0, REST);
}

#[test]
fn what_cannot_change_is_known_by_what_can() {
    assert!(may_change("Secret", "data.*") && may_change("ConfigMap", "data.key"));
    let env = "spec.template.spec.containers.*.env.*.value";
    assert!(may_change("Deployment", env) && !may_change("Job", env));
    assert!(!may_change("Deployment", "spec.selector") && !may_change("Pod", "spec"));
    assert!(!may_change("", REST) && !may_change("Secret", "type"));
}
