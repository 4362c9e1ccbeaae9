//! The built weir between real clients and a real PostgreSQL.
//!
//! One binary, so that one server serves all tests; each test has a database and a weir of its own.

mod support;

mod approvals;
mod badinput;
mod beliefs;
mod classes;
mod crash;
mod differential;
mod drivers;
mod flows;
mod grpc;
mod hostile;
mod http;
mod http_clients;
mod http_crash;
mod http_h2;
mod http_hostile;
mod http_masks;
mod http_seen;
mod http_sockets;
mod http_tls;
mod identity;
mod load;
mod masking;
mod mcp;
mod messages;
mod meters;
mod oidc;
mod ordinary;
mod peaks;
mod pools;
mod postgres;
mod records;
mod replay;
mod replay_live;
mod replication;
mod rotation;
mod scopes;
mod servers;
mod ssh;
mod ssh_clients;
mod ssh_direct;
mod ssh_files;
mod ssh_holds;
mod ssh_hostile;
mod ssh_output;
mod ssh_over;
mod ssh_rows;
mod ssh_rules;
mod ssh_shells;
mod ssh_trust;
mod tokens;
mod tokio_driver;
mod touches;
