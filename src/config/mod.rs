//! The configuration: a file in, resolved settings out, errors that name file, line and remedy.
//!
//! In: TOML text, the folder it lies in, the environment. Out: `settings::Settings`, or all
//! problems at once. Never: a default that weakens what the file states, a password inside the
//! file, a key that is ignored.

pub mod load;
pub mod report;
pub mod secret;
mod section;
mod sections;
pub mod settings;
pub mod target_url;
pub mod units;

pub use load::{load, parse};
pub use report::ConfigErrors;
pub use sections::{read_revocations, system_roots};
pub use target_url::for_target_url;
