//! `tests/differential`: scripts of frames, played to PostgreSQL and through weir, byte by byte.

use std::path::PathBuf;
use std::process::Command;

use crate::support::scratch::output;
use crate::support::{Certificates, Endpoint, Postgres, Spec};

fn place(endpoint: &Endpoint) -> String {
    format!(
        "port={} user={} password={} dbname={}",
        endpoint.port, endpoint.user, endpoint.password, endpoint.dbname
    )
}

fn play(server: &Postgres) {
    let database = server.database();
    let weir = Spec::new(&database).start();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/differential");
    let mut command = Command::new("python3");
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(folder.join("differential.py"))
        .args(["--direct", &place(&database.endpoint())])
        .args(["--through", &place(&weir.endpoint())])
        .arg("--ca")
        .arg(&Certificates::shared().authority);
    let played = output(&mut command);
    let said = String::from_utf8_lossy(&played.stdout);
    let errors = String::from_utf8_lossy(&played.stderr);
    assert!(played.status.success(), "{said}{errors}");
    eprintln!("{said}");
}

#[test]
fn scripts_of_frames_are_answered_alike() {
    play(Postgres::shared());
}

#[test]
fn scripts_of_frames_are_answered_alike_by_the_newest_server() {
    if let Some(server) = Postgres::newest() {
        play(server);
    }
}
