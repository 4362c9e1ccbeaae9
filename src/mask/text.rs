//! Part of masking.
