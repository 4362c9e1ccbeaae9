//! weir's reading of Kubernetes against Kubernetes itself: the programs of `bed/`, which
//! `tests/kube/build` makes. Without them these tests fail.

mod anew;
mod audit;
mod bed;
mod clients;
mod cluster;
mod controllers;
mod faults;
mod logins;
mod objects;
mod peers;
mod requests;
mod scripted;
mod shapes;
#[expect(dead_code, unused_imports, reason = "the end-to-end tests use the rest")]
#[path = "../e2e/support/mod.rs"]
mod support;
mod through;
mod world;
