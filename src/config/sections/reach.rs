//! How a target is reached: addresses, which of them are used, timeouts, its client certificate.
//!
//! In: a `[[target]]`. Out: `Reach`, a `KeyPair`. Never: a default that differs from libpq's
//! without a word in the README.

use super::super::load::Source;
use super::super::report::Report;
use super::super::section::{At, Section};
use super::super::settings::{Host, KeepAlive, KeyPair, Reach, SessionAttrs};
use super::super::units;
use super::existing_file;
use crate::limits;

/// `load_balance_hosts` of libpq 16.
pub(in crate::config) const BALANCES: [(&str, bool); 2] = [("disable", false), ("random", true)];

/// The shortest `connect_timeout`; libpq's own is two seconds, for timers of whole seconds.
const CONNECT_TIMEOUT_US_MIN: u64 = 100_000;

/// `None` when no address could be read.
pub(super) fn reach(
    section: &mut Section<'_>,
    port: u16,
    report: &mut Report<'_>,
) -> Option<Reach> {
    let hosts = hosts(section, port, report);
    let attrs = section.choice("target_session_attrs", &SessionAttrs::NAMES, report);
    let shuffled = section.choice("load_balance_hosts", &BALANCES, report);
    let duration = (units::duration_us, units::DURATION_FORM);
    let timeout = section.form("connect_timeout", duration, report);
    if let Some(timeout) = &timeout
        && !(CONNECT_TIMEOUT_US_MIN..=limits::CONNECT_TIMEOUT_US_MAX).contains(&timeout.value)
    {
        let found = "`connect_timeout` is out of range";
        report.error(timeout.span.clone(), found, "a duration from 100ms to 5m", "");
    }
    let keepalive = keep_alive(section, "`keepalive` of [[target]]", report);
    Some(Reach {
        hosts: hosts?,
        shuffled: shuffled.unwrap_or(false),
        attrs: attrs.unwrap_or(SessionAttrs::Any),
        connect_timeout_us: timeout.map(|timeout| timeout.value),
        keepalive,
    })
}

fn hosts(section: &mut Section<'_>, port: u16, report: &mut Report<'_>) -> Option<Vec<Host>> {
    let one = section.text("address", report);
    let several = section.texts("addresses", report);
    let texts = match (one, section.has("addresses")) {
        (Some(one), false) => vec![one],
        (Some(_), true) => {
            let found = "both `address` and `addresses`";
            report.error(section.span(), found, "one of them", "");
            return None;
        }
        (None, true) => several,
        (None, false) => {
            if !section.has("address") {
                let expected = format!("{}, or a list of them in `addresses`", units::HOST_FORM);
                section.missing("address", &expected, report);
            }
            return None;
        }
    };
    let mut hosts: Vec<Host> = Vec::new();
    for At { value, span } in texts {
        match units::host_port(value, Some(port)) {
            None => {
                report.error(span, format!("an address is \"{value}\""), units::HOST_FORM, "");
            }
            Some((name, port)) => {
                let host = Host { name, port };
                if hosts.contains(&host) {
                    report.error(span, format!("{host} is there twice"), "each once", "");
                }
                hosts.push(host);
            }
        }
    }
    if hosts.len() > limits::TARGET_HOSTS_MAX {
        let expected = format!("at most {}", limits::TARGET_HOSTS_MAX);
        report.error(section.span(), "too many `addresses`", expected, "");
    }
    (!hosts.is_empty()).then_some(hosts)
}

/// `keepalive = { idle, interval, count, user_timeout }`, each with its default.
pub(super) fn keep_alive(
    section: &mut Section<'_>,
    label: &str,
    report: &mut Report<'_>,
) -> KeepAlive {
    let mut keepalive = KeepAlive::DEFAULT;
    let Some(mut fields) = section.section("keepalive", label, report) else { return keepalive };
    let duration = || (units::duration_us, units::DURATION_FORM);
    for (key, place) in [("idle", &mut keepalive.idle_s), ("interval", &mut keepalive.interval_s)] {
        let Some(given) = fields.form(key, duration(), report) else { continue };
        // TCP_KEEPIDLE and TCP_KEEPINTVL count seconds, up to 32767 (linux/tcp.h).
        match u32::try_from(given.value / 1_000_000) {
            Ok(seconds @ 1..=32_767) if given.value % 1_000_000 == 0 => *place = seconds,
            _ => {
                let found = format!("`{key}` is out of range");
                report.error(given.span, found, "whole seconds from 1s to 9h", "");
            }
        }
    }
    if let Some(count) = fields.integer("count", 1..=127, report) {
        keepalive.count = count as u32;
    }
    if let Some(given) = fields.form("user_timeout", duration(), report) {
        match u32::try_from(given.value / 1_000) {
            Ok(ms @ 100..=86_400_000) => keepalive.user_timeout_ms = Some(ms),
            _ => report.error(given.span, "`user_timeout` is out of range", "100ms to 1d", ""),
        }
    }
    fields.finish(report);
    keepalive
}

/// `client_certificate` and `client_key`: both or none. `Err` when a problem was reported.
pub(super) fn client_certificate(
    section: &mut Section<'_>,
    source: &Source<'_>,
    report: &mut Report<'_>,
) -> Result<Option<KeyPair>, ()> {
    let certificate = section.text("client_certificate", report);
    let key = section.text("client_key", report);
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => {
            let certificate = existing_file(Some(certificate), source, report);
            let key = existing_file(Some(key), source, report);
            let (certificate, key) = certificate.zip(key).ok_or(())?;
            Ok(Some(KeyPair { certificate, key }))
        }
        (Some(At { span, .. }), None) => {
            let found = "`client_certificate` without `client_key`";
            report.error(span, found, "both, or none of them", "");
            Err(())
        }
        (None, Some(At { span, .. })) => {
            let found = "`client_key` without `client_certificate`";
            report.error(span, found, "both, or none of them", "");
            Err(())
        }
    }
}
