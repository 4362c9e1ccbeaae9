//! tokio-postgres: the driver of Rust programs, which pipelines whatever is asked at once.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::support::{Certificates, Endpoint, Postgres, Spec};

type Lines = Vec<String>;

/// Verifies the certificate as verify-full does; without TLS nobody asks it.
fn tls() -> MakeRustlsConnect {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(&Certificates::shared().authority);
    roots.add(authority.expect("a certificate")).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    MakeRustlsConnect::new(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn connect(endpoint: &Endpoint) -> (Client, mpsc::UnboundedReceiver<String>) {
    let mut config = Config::new();
    config
        .host(&endpoint.host)
        .hostaddr(IpAddr::V4(Ipv4Addr::LOCALHOST))
        .ssl_mode(if endpoint.tls { SslMode::Require } else { SslMode::Disable })
        .port(endpoint.port)
        .user(&endpoint.user)
        .password(&endpoint.password)
        .dbname(&endpoint.dbname);
    let (client, mut connection) = config.connect(tls()).await.expect("a connection");
    let (heard, hear) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            let said = match message {
                Ok(AsyncMessage::Notice(notice)) => format!("notice {}", notice.message()),
                Ok(AsyncMessage::Notification(note)) => {
                    format!("notification {} {}", note.channel(), note.payload())
                }
                Ok(_) => continue,
                Err(error) => format!("connection {error}"),
            };
            let _nobody_listens = heard.send(said);
        }
    });
    (client, hear)
}

fn failure<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => {
            let db = error.as_db_error();
            db.map_or(format!("{error}"), |db| format!("{} {}", db.code().code(), db.message()))
        }
    }
}

async fn script(endpoint: Endpoint) -> Result<Lines, Error> {
    let mut lines = Lines::new();
    let mut say = |name: &str, value: String| lines.push(format!("{name}: {value}"));
    let (mut client, mut hear) = connect(&endpoint).await;
    client.batch_execute("CREATE TEMP TABLE t (id int PRIMARY KEY, name text)").await?;
    let rows = client.simple_query("SELECT 1 AS a; SELECT 'b'").await?;
    say("simple", format!("{}", rows.len()));
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2)").await?;
    for id in 0..50 {
        client.execute(&insert, &[&id, &format!("name {id}")]).await?;
    }
    let row = client.query_one("SELECT count(*), max(name) FROM t", &[]).await?;
    say("inserted", format!("{} {}", row.get::<_, i64>(0), row.get::<_, String>(1)));
    let select = client.prepare("SELECT name FROM t WHERE id = $1").await?;
    say("types", format!("{:?} {:?}", select.params(), select.columns()[0].type_()));

    // Requests that are polled together leave together, each with a Sync of its own.
    let (a, b, c, d) = tokio::join!(
        client.query_one(&select, &[&1]),
        client.query_one("SELECT 1 / $1::int", &[&0]),
        client.query_one(&select, &[&3]),
        client.batch_execute("SELECT 1; SELECT 2"),
    );
    say("pipelined", a?.get(0));
    say("pipelined error", failure(b));
    say("pipelined after", c?.get(0));
    say("pipelined simple", failure(d));

    let mut transaction = client.transaction().await?;
    transaction.execute("DELETE FROM t WHERE id < 10", &[]).await?;
    let savepoint = transaction.transaction().await?;
    say("savepoint", failure(savepoint.query("SELECT no_such()", &[]).await));
    savepoint.rollback().await?;
    let portal = transaction.bind("SELECT id FROM t ORDER BY id", &[]).await?;
    for _ in 0..3 {
        let rows = transaction.query_portal(&portal, 7).await?;
        say("portal", format!("{:?}", rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>()));
    }
    transaction.commit().await?;
    say("unique", failure(client.execute(&insert, &[&20, &"again"]).await));

    let sink = client.copy_in("COPY t FROM STDIN (FORMAT binary)").await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &[Type::INT4, Type::TEXT]));
    for id in 1000..6000 {
        writer.as_mut().write(&[&id, &"copied"]).await?;
    }
    say("copied", format!("{}", writer.finish().await?));

    let big = "0123456789abcdef".repeat(20 * 65536);
    let row = client.query_one("SELECT $1::text", &[&big]).await?;
    say("big", format!("{}", row.get::<_, &str>(0) == big));

    client.batch_execute("LISTEN ch").await?;
    client.batch_execute("DO $$ BEGIN RAISE NOTICE 'said'; END $$; NOTIFY ch, 'hello'").await?;
    for _ in 0..2 {
        let said = tokio::time::timeout(Duration::from_secs(10), hear.recv()).await;
        say("heard", format!("{said:?}"));
    }

    let token = client.cancel_token();
    let later = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        token.cancel_query(tls()).await
    };
    let (slept, canceled) = tokio::join!(client.query("SELECT pg_sleep(60)", &[]), later);
    say("cancel", format!("{} {}", failure(slept), failure(canceled)));
    say("after", format!("{}", client.query_one("SELECT 1", &[]).await?.get::<_, i32>(0)));
    Ok(lines)
}

fn run(endpoint: &Endpoint) -> Lines {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let limited =
        async { tokio::time::timeout(Duration::from_secs(120), script(endpoint.clone())).await };
    let done = runtime.block_on(limited);
    done.expect("the script ends").expect("no error outside of the checks")
}

fn compare(pick: fn(Endpoint) -> Endpoint) {
    let database = Postgres::shared().database();
    let direct = run(&pick(database.endpoint()));
    assert_eq!(direct.len(), 18, "{direct:#?}");
    let weir = Spec::new(&database).start();
    assert_eq!(run(&pick(weir.endpoint())), direct);
}

#[test]
fn tokio_postgres_cannot_tell() {
    compare(|endpoint| endpoint);
}

#[test]
fn tokio_postgres_cannot_tell_with_tls() {
    compare(|endpoint| endpoint.with_tls());
}
