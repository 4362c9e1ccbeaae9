//! A TOML file to `Settings`.
