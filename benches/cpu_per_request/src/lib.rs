//! What the load and the origin of the measurement have in common.

/// Keeps a process awake, and gives way to the other one on the same core; it never ends.
///
/// To wake a sleeping peer up costs whoever sends to it, on a virtual machine several microseconds, and the more often
/// the slower it sends. Peers of a real proxy sleep on other machines.
pub async fn never_sleep() -> ! {
    loop {
        std::thread::yield_now();
        tokio::task::yield_now().await;
    }
}
