//! CancelRequests: to the session, to the target, to other shards.

use super::*;

#[test]
fn a_cancel_finds_its_session_and_travels_to_the_target() {
    let key = b"12345678";
    let packet = [&[0, 0, 0, 16, 4, 210, 22, 46], &key[..]].concat();
    let owner_and_asker = |rig: &mut Rig| {
        let (mut owner, its_server) = rig.pair();
        owner.write_all(&[&[KEY], &key[..]].concat()).expect("sent");
        wait_for("the session is known", || rig.sessions().len() == 1);
        let (mut asker, nobody) = rig.pair();
        asker.write_all(&[&[CANCEL], &key[..]].concat()).expect("sent");
        (asker, owner, its_server, nobody)
    };
    let mut rig = Rig::start(PLAIN);
    let (mut asker, ..) = owner_and_asker(&mut rig);
    let mut carried = rig.accept();
    assert_eq!(rest_bytes(&mut carried), packet);
    // The asker hears nothing before the target has taken the request.
    assert!(is_silent(&asker, Duration::from_millis(300)));
    drop(carried);
    assert_eq!(rest(&mut asker), "");

    let mut rig = Rig::start(Options { target_tls: TargetTls::Prefer, ..PLAIN });
    let (mut asker, ..) = owner_and_asker(&mut rig);
    let mut carried = rig.accept();
    let mut asked = [0; 8];
    carried.read_exact(&mut asked).expect("a request for TLS");
    assert_eq!(asked, [0, 0, 0, 8, 4, 210, 22, 47]);
    carried.write_all(b"N").expect("sent");
    assert_eq!(rest_bytes(&mut carried), packet);
    drop(carried);
    assert_eq!(rest(&mut asker), "");

    let mut rig = Rig::start(Options { target_tls: TargetTls::Require, ..PLAIN });
    let _kept = owner_and_asker(&mut rig);
    let mut carried = rig.accept();
    carried.read_exact(&mut asked).expect("a request for TLS");
    carried.write_all(b"N").expect("sent");
    assert_eq!(rest(&mut carried), "", "no key in clear");
}

#[test]
fn a_cancel_for_another_shard_is_passed_on() {
    let mut rig = Rig::start(PLAIN);
    let (mut asker, _server) = rig.pair();
    asker.write_all(&[&[CANCEL], &b"elsewhere"[..]].concat()).expect("sent");
    let report = rig.reports.blocking_recv();
    assert!(
        matches!(&report, Some(ToControl::Cancel { shard: 0, key, .. }) if key == b"elsewhere"),
        "{report:?}"
    );
    drop(report);
    assert_eq!(rest(&mut asker), "", "nobody holds it any more");
}
