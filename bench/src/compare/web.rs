//! HTTP through one arm: the null servers behind all of them, the proxies' settings, the load.
//!
//! In: an arm, a load. Out: requests, latencies and CPU of a window. Never: a rival that has to
//! find out which server is meant; each has a port for each server. weir goes by the host's name,
//! as it must, and by who the client is.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use weir_load::drive::{self, Settings};
use weir_load::http::{Http, Version};
use weir_load::null::{Answer, Null};
use weir_load::outcome::Outcome;
use weir_load::schedule::Arrivals;
use weir_load::talk::Speech;

use super::Result;
use super::proc::{Cost, Moment};
use super::rig::{Arm, Rig, free_port};

/// Bytes of the answers, a server each.
pub const ANSWERS: [u64; 3] = [400, 4096, 1 << 20];
/// Everything is connected and warm after this.
const WARM_UP_S: f64 = 0.5;
/// The generator goes on for so long after the window, so that all of it is under load.
const MARGIN_S: f64 = 0.3;
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Ports of one arm, by server.
#[derive(Clone, Debug)]
pub struct Ports {
    /// HTTP/1.1.
    pub one: [u16; 3],
    /// HTTP/2 in clear, with prior knowledge.
    pub two: [u16; 3],
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub version: Version,
    pub connections: usize,
    /// Streams at a time on each connection.
    pub depth: usize,
    /// Offered at `Flags::rate` (Poisson), or as fast as it goes.
    pub open: bool,
    /// Bytes of the request's body.
    pub sent: usize,
    /// Which of `ANSWERS`.
    pub server: usize,
}

/// What the window held.
pub struct Window {
    pub requests: u64,
    /// Of the generator's own window, which begins with this one and ends a little later.
    pub outcome: Outcome,
    pub cost: Cost,
}

/// Starts the servers behind all arms; their ports.
pub fn serve() -> Result<Ports> {
    let mut ports = [0; 3];
    for (port, bytes) in ports.iter_mut().zip(ANSWERS) {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let fail = |e: std::io::Error| format!("null server: {e}");
        let null = Null::bind(any, Answer::Page { bytes }).map_err(fail)?;
        *port = null.address().map_err(fail)?.port();
        std::thread::spawn(move || null.run());
    }
    Ok(Ports { one: ports, two: ports })
}

/// Ports for a proxy that has one for each server and version.
pub fn ports() -> Result<Ports> {
    let three = || -> Result<[u16; 3]> { Ok([free_port()?, free_port()?, free_port()?]) };
    Ok(Ports { one: three()?, two: three()? })
}

/// HAProxy in HTTP mode; `log`: a line for each request.
pub fn haproxy(ports: &Ports, servers: &Ports, log: bool) -> String {
    let mut text = "global\n  nbthread 1\n  maxconn 5000\n\
                    defaults\n  mode http\n  timeout connect 5s\n  timeout client 1h\n\
                    timeout server 1h\n  http-reuse always\n"
        .to_owned();
    if log {
        text += "  log stdout format raw daemon\n  option httplog\n";
    }
    for (index, server) in servers.one.iter().enumerate() {
        let _ = write!(
            text,
            "listen server{index}\n  bind 127.0.0.1:{}\n  bind 127.0.0.1:{} proto h2\n\
             server null 127.0.0.1:{server}\n",
            ports.one[index], ports.two[index]
        );
    }
    text
}

/// nginx with one worker and connections to the server that are kept; no log.
pub fn nginx(ports: &Ports, servers: &Ports, folder: &Path, as_root: bool) -> String {
    let folder = folder.display();
    let user = if as_root { "user root;\n" } else { "" };
    let mut text = format!(
        "{user}worker_processes 1;\ndaemon off;\npid {folder}/nginx.pid;\n\
         events {{ worker_connections 5000; }}\nhttp {{\naccess_log off;\n\
         client_body_temp_path {folder}/body;\nproxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi;\nuwsgi_temp_path {folder}/uwsgi;\n\
         scgi_temp_path {folder}/scgi;\nkeepalive_requests 1000000000;\nkeepalive_timeout 1h;\n\
         proxy_http_version 1.1;\nproxy_set_header Connection \"\";\n\
         proxy_max_temp_file_size 0;\n"
    );
    for (index, server) in servers.one.iter().enumerate() {
        let _ = write!(
            text,
            "upstream server{index} {{ server 127.0.0.1:{server}; keepalive 64; \
             keepalive_requests 1000000000; }}\n\
             server {{ listen 127.0.0.1:{}; listen 127.0.0.1:{} http2; \
             location / {{ proxy_pass http://server{index}; }} }}\n",
            ports.one[index], ports.two[index]
        );
    }
    text + "}\n"
}

/// weir's listener and a target for each server, told apart by the host's name.
pub fn weir(ports: &Ports, servers: &Ports, durability: &str) -> String {
    let mut text = format!("[listen.http]\naddress = \"127.0.0.1:{}\"\n", ports.one[0]);
    for (index, server) in servers.one.iter().enumerate() {
        let _ = write!(
            text,
            "[[target]]\nname = \"server{index}\"\nprotocol = \"http\"\nhost = \"{}\"\n\
             address = \"http://127.0.0.1:{server}\"\ndurability = \"{durability}\"\n",
            host(index)
        );
    }
    text
}

fn host(index: usize) -> String {
    format!("server{index}.test")
}

/// The load as the generator takes it.
fn settings(rig: &Rig, arm: &Arm, load: Load) -> Result<Settings> {
    let ports = arm.ports().ok_or("the arm has no HTTP")?;
    let ports = if load.version.is_two() { &ports.two } else { &ports.one };
    let port = ports[load.server];
    let http = Http::parse(&format!("http://{}@127.0.0.1:{port}/orders/4711", rig.login()))?;
    let method = if load.sent > 0 { "POST" } else { "GET" };
    let header = format!("Host: {}", host(load.server));
    let http = http.with((load.version, method), &[header], load.sent)?;
    Ok(Settings {
        speech: Speech::Http(Box::new(http)),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        depth: load.depth,
        fresh: false,
        rate: None,
        arrivals: Arrivals::Poisson,
        connections: load.connections,
        threads: 1,
        warm_up_s: WARM_UP_S,
        seconds: 1.0,
        seed: 1,
    })
}

/// One request, to see whether the arm answers.
pub fn try_once(rig: &Rig, arm: &Arm) -> Result<()> {
    let load =
        Load { version: Version::One, connections: 1, depth: 1, open: false, sent: 0, server: 0 };
    let mut settings = settings(rig, arm, load)?;
    (settings.warm_up_s, settings.seconds) = (0.0, 0.02);
    clean(&drive::run(&settings, &Arc::new(AtomicU64::new(0)))?).map(drop)
}

/// Runs the generator for the warm-up, the window, and a little more.
pub fn run(rig: &Rig, arm: &Arm, load: Load, rate: u32, seconds: f64) -> Result<Window> {
    let mut settings = settings(rig, arm, load)?;
    settings.rate = load.open.then_some(f64::from(rate));
    settings.seconds = seconds + MARGIN_S;
    let finished = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&finished);
    let running = std::thread::spawn(move || drive::run(&settings, &counter));
    await_first(&running, &finished);
    let start = (Moment::read(arm.pid())?, finished.load(Ordering::Relaxed));
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let end = (Moment::read(arm.pid())?, finished.load(Ordering::Relaxed));
    let outcome = running.join().map_err(|_| "the generator panicked".to_owned())??;
    clean(&outcome)?;
    let (requests, cost) = (end.1 - start.1, start.0.cost_until(&end.0));
    if requests == 0 {
        return Err("nothing was answered in the window".to_owned());
    }
    Ok(Window { requests, outcome, cost })
}

/// The generator's window is open. If it never opens, its own end says why.
fn await_first(running: &JoinHandle<Result<Outcome>>, finished: &AtomicU64) {
    let until = Instant::now() + SILENCE_MAX;
    while finished.load(Ordering::Relaxed) == 0 && !running.is_finished() && Instant::now() < until
    {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Errors, lost connections and unanswered requests are no numbers.
fn clean(outcome: &Outcome) -> Result<()> {
    let (errors, lost, unfinished) = (outcome.total().errors, outcome.lost, outcome.unfinished);
    if errors + lost + unfinished == 0 {
        return Ok(());
    }
    let why = outcome.first_error.as_deref().unwrap_or("no answer");
    Err(format!("{errors} errors, {lost} connections lost, {unfinished} not answered: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_proxy_has_a_way_to_every_server() {
        let ports = Ports { one: [1, 2, 3], two: [4, 5, 6] };
        let servers = Ports { one: [7, 8, 9], two: [7, 8, 9] };
        let haproxy = haproxy(&ports, &servers, true);
        let nginx = nginx(&ports, &servers, Path::new("/f"), true);
        for text in [&haproxy, &nginx] {
            for port in 1..=9 {
                assert!(text.contains(&format!("127.0.0.1:{port}")), "{port}: {text}");
            }
        }
        let weir = weir(&ports, &servers, "write");
        assert!((7..=9).all(|port| weir.contains(&format!("http://127.0.0.1:{port}"))), "{weir}");
        assert_eq!(nginx.matches('{').count(), nginx.matches('}').count());
    }
}
