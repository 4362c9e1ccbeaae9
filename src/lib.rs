//! weir: a gateway that records, decides and masks what passes to a database.
//!
//! The life of one session, in the order of the modules below. A listener accepts a connection
//! ([`accept`]) and hands its bytes to a session machine. [`identify`] finds out what is spoken and
//! who speaks it. [`wire`] turns bytes into frames and frames into actions. [`decide`] answers each
//! action with allow, deny or hold, and is the only maker of a [`decide::Permit`]. [`record`]
//! writes the action down and is the only maker of a [`record::Receipt`]. [`mask`] plans the
//! edits of what comes back. [`forward`] moves bytes to the peer, and takes a permit and a receipt
//! for them. [`session`] composes the stages; [`shard`] drives many sessions on one core. The rest
//! is the control plane: [`config`], [`admin`], [`cli`] and [`metrics`].

pub mod clock;
pub mod fault;
pub mod hex;
pub mod limits;

pub mod wire;

pub mod identify;

pub mod decide;

pub mod record;

pub mod mask;

pub mod forward;

pub mod session;

pub mod accept;
pub mod shard;

pub mod admin;
pub mod cli;
pub mod config;
pub mod metrics;
