//! The SSH harness with a seed: mutations of good inputs, as in `smoke.rs`.

use super::{smoke, smoke_rounds, ssh};

/// A field of SSH with its length.
fn field(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

#[test]
fn ssh_before_keys() {
    let packet = b"SSH-2.0-OpenSSH_9.2\r\n\0\0\0\x0c\x0a\x02\0\0\0\0\0\0\0\0\0\0".to_vec();
    smoke_rounds(ssh::clear, &[packet, b"SSH-1.99-x\n".to_vec()], 2_000);
    let exchange = b"\xff\x05\x1e\0\0\0\x01\x09\x00\x15\xfe\x00\x14\x04\x02\0\0\0\0".to_vec();
    smoke_rounds(ssh::order, &[exchange, vec![255, 255], vec![0, 21, 0, 1]], 1_000);
}

#[test]
fn ssh_negotiation() {
    let names = ["curve25519-sha256,kex-strict-c-v00@openssh.com", "ssh-ed25519"];
    let twice = ["aes128-ctr,aes128-gcm@openssh.com", "hmac-sha2-256", "none", ""];
    let mut init = [&[20][..], &[0; 16]].concat();
    names.iter().for_each(|list| init.extend(field(list.as_bytes())));
    twice.iter().for_each(|list| (0..2).for_each(|_| init.extend(field(list.as_bytes()))));
    init.extend([0; 5]);
    smoke(ssh::negotiation, &[init]);
}

#[test]
fn ssh_login() {
    let blob = [field(b"ssh-ed25519"), field(&[7; 32])].concat();
    let signature = field(&[field(b"ssh-ed25519"), field(&[1; 64])].concat());
    let start = |method: &[u8]| {
        [vec![50], field(b"root@web-1"), field(b"ssh-connection"), field(method)].concat()
    };
    let key = [start(b"publickey"), vec![1], field(b"ssh-ed25519"), field(&blob)].concat();
    smoke_rounds(
        ssh::login,
        &[
            [key, signature].concat(),
            [start(b"password"), vec![0], field(b"secret")].concat(),
            start(b"none"),
            [vec![51], field(b"publickey,password"), vec![0]].concat(),
            [vec![60], field(b""), field(b""), field(b""), vec![0, 0, 0, 1], field(b"?"), vec![0]]
                .concat(),
            blob,
        ],
        10_000,
    );
}

#[test]
fn ssh_messages() {
    let request =
        |name: &[u8], rest: &[u8]| [&[98, 0, 0, 0, 1][..], &field(name), &[1], rest].concat();
    let pty = [field(b"xterm"), vec![0; 16], field(&[53, 0, 0, 0, 1, 0])].concat();
    let forward = [field(b"db"), vec![0, 0, 0, 22], field(b"::1"), vec![0; 4]].concat();
    smoke(
        ssh::messages,
        &[
            request(b"pty-req", &pty),
            request(b"exec", &field(b"ls")),
            [vec![90], field(b"direct-tcpip"), vec![0; 12], forward].concat(),
            [vec![94, 0, 0, 0, 1], field(b"data")].concat(),
            [vec![80], field(b"tcpip-forward"), vec![1], field(b""), vec![0; 4]].concat(),
        ],
    );
}

#[test]
fn ssh_records_and_texts() {
    let typed = b"\0\x04\x02\x50\x18\0\x02\x0a\x1b[?2004h$ \0\x0b\x01\x03\0\x02\x04ls\r\n\
        \0\x02\x08\x1b[?2004l";
    let shown = b"\x02\x02\x05hello\x00\x04\x02\x50\x18\x80\x01\x08\x02\0\0";
    smoke(ssh::events, &[shown.to_vec(), typed.to_vec()]);
    let texts = ["scp -t 'a b'", "ls -l /srv", "echo \"a;b\" $HOME", "git-upload-pack '/a.git'"];
    smoke(ssh::text, &texts.map(|text| text.as_bytes().to_vec()));
}

#[test]
fn ssh_files() {
    let packet = |kind: u8, fields: &[u8]| field(&[&[kind, 0, 0, 0, 9][..], fields].concat());
    let write = [field(b"handle"), vec![0; 8], field(b"contents")].concat();
    let name = [&[0, 0, 0, 1][..], &field(b"/root"), &field(b"l"), &[0; 4]].concat();
    smoke(
        ssh::files,
        &[
            [packet(3, &[field(b"/a"), vec![0; 8]].concat()), packet(6, &write)].concat(),
            [packet(200, &field(b"limits@openssh.com")), packet(4, &field(b"handle"))].concat(),
            [packet(104, &name), packet(103, &field(b"contents"))].concat(),
            b"/a/./b//../c".to_vec(),
        ],
    );
}

#[test]
fn ssh_trust() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFPcmvVTJpKXKN8oLRTIhyPZQMXd3UGWOwJjbKhKSM2F";
    let head = [&b"SSHKRL\n\0\0\0\0\x01"[..], &[0; 24], &field(b""), &field(b"c")].concat();
    let serials = [field(b""), field(b""), vec![0x20], field(&[0; 16])].concat();
    smoke_rounds(
        ssh::trust,
        &[
            format!("web-1,10.* {key}\n@revoked * {key}\n# c\n").into_bytes(),
            [head, vec![1], field(&serials)].concat(),
        ],
        10_000,
    );
}
