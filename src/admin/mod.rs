//! The control thread and its API.
