//! Vectorised scanning.
