//! One gateway per address of a machine.
//!
//! In: the addresses of listeners. Out: locks that end with the process.
//! Never: a second weir that shares a port by SO_REUSEPORT, so that half of the clients meet other
//! rules.
//!
//! A lock is a name in the abstract namespace of UNIX sockets, which belongs to the network
//! namespace as ports do, leaves no file behind, and ends with whoever has it.

use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};

/// The addresses that are this process's alone.
#[derive(Debug)]
pub struct Exclusive(Vec<UnixListener>);

impl Exclusive {
    /// Takes all of them. Port 0 is any port, which nobody else has.
    ///
    /// # Errors
    /// The address that another weir has, or what the system says.
    pub fn take(
        addresses: impl Iterator<Item = SocketAddr>,
    ) -> Result<Exclusive, (SocketAddr, io::Error)> {
        let mut locks = Vec::new();
        for address in addresses.filter(|address| address.port() != 0) {
            let lock = UnixAddr::from_abstract_name(format!("weir-listener {address}"))
                .and_then(|name| UnixListener::bind_addr(&name));
            locks.push(lock.map_err(|error| (address, error))?);
        }
        Ok(Exclusive(locks))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_one() {
        let address = |port: u16| SocketAddr::from(([127, 255, 255, 1], port));
        let first = Exclusive::take([address(1), address(0)].into_iter()).unwrap();
        assert_eq!(first.len(), 1);
        assert!(Exclusive::take([address(0), address(2)].into_iter()).is_ok());
        let (taken, error) = Exclusive::take([address(2), address(1)].into_iter()).unwrap_err();
        assert_eq!((taken, error.kind()), (address(1), io::ErrorKind::AddrInUse));
        drop(first);
        assert!(Exclusive::take([address(1)].into_iter()).is_ok());
    }
}
