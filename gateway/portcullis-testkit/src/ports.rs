//! Free ports of the loopback address.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

/// Finds a port of 127.0.0.1 that nobody listens on.
///
/// # Panics
///
/// When the system has none left.
#[must_use]
pub fn free_port() -> u16 {
    free_ports::<1>()[0]
}

/// Finds `N` different ports of 127.0.0.1 that nobody listens on.
///
/// They lie below those that systems give to connections (Linux: from 32,768), or a client of another test could be given
/// one before it is bound, and where each process begins to look is its own. What was given once stays with this process
/// to its end, also while nobody listens there: the UDP port of the same number is held for that.
///
/// # Panics
///
/// When the system has none left.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| (0..COUNT).map(|_| next()).find(|port| is_had(*port)).expect("a loopback port is free"))
}

/// The next port to look at.
fn next() -> u16 {
    let begin = u16::try_from(std::process::id() % u32::from(COUNT / SHARE)).unwrap_or_default() * SHARE;
    FIRST + (begin + LOOKED_AT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT
}

/// Whether this process has a port now that no other has, and that nobody listens on.
fn is_had(port: u16) -> bool {
    let Ok(hold) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else { return false };
    let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    if is_free {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).push(hold);
    }
    is_free
}

/// What keeps other processes from the ports of this one.
static HELD: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// How many ports this process has looked at.
static LOOKED_AT: AtomicU16 = AtomicU16::new(0);
const FIRST: u16 = 10_240;
const COUNT: u16 = 20_480;
/// How many ports further a process begins than the one with the number before its own.
const SHARE: u16 = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn free_ports_differ_and_can_be_bound() {
        let ports: [u16; 64] = free_ports();
        let different: HashSet<u16> = ports.into_iter().collect();
        assert_eq!(different.len(), ports.len());
        assert!(ports.iter().all(|port| (FIRST..FIRST + COUNT).contains(port)));
        let port = free_port();
        assert!(!different.contains(&port));
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    }

    #[test]
    fn a_port_that_was_given_is_nobody_elses_while_nobody_listens_there() {
        let port = free_port();
        drop(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
        assert!(!is_had(port), "as another process would find it");
    }

    #[test]
    fn a_port_that_is_in_use_is_not_given() {
        let taken: Vec<_> = (0..8).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).unwrap()).collect();
        let ports: [u16; 8] = free_ports();
        assert!(taken.iter().all(|listener| !ports.contains(&listener.local_addr().unwrap().port())));
        assert!(!is_had(taken[0].local_addr().unwrap().port()));
    }
}
