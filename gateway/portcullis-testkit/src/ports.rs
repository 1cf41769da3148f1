//! Free ports of the loopback address.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

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
/// A port given once is not given again by this process. Another process may still take it before
/// it is bound.
///
/// # Panics
///
/// When the system has none left.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    let mut given = GIVEN.lock().expect("no holder of this lock panics");
    let given = given.get_or_insert_with(HashSet::new);
    // All are held until the last is found, so that no two are the same.
    let mut held = Vec::new();
    std::array::from_fn(|_| {
        loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
            let port = listener.local_addr().expect("a bound listener has an address").port();
            held.push(listener);
            if given.insert(port) {
                return port;
            }
        }
    })
}

static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ_and_can_be_bound() {
        let ports: [u16; 16] = free_ports();
        let different: HashSet<u16> = ports.into_iter().collect();
        assert_eq!(different.len(), ports.len());
        let port = free_port();
        assert!(!different.contains(&port));
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    }
}
