//! HTTP/2 connections.

use std::rc::Rc;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::task::spawn_local;

use crate::http1::connect_tls;
use crate::{Outcome, Side};

/// Sends requests on one TLS connection, this many at a time, until the load stops.
pub(crate) async fn keep(side: &Rc<Side>, streams: usize) -> Outcome {
    let stream = connect_tls(side).await?;
    let (send, connection) = Builder::new()
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .enable_push(false)
        .handshake::<_, Bytes>(stream)
        .await?;
    let driver = spawn_local(connection);
    let lanes: Vec<_> = (0..streams)
        .map(|_| {
            let (side, send) = (Rc::clone(side), send.clone());
            spawn_local(async move { lane(&side, send).await.map_err(|fault| fault.to_string()) })
        })
        .collect();
    // The connection ends when the last handle to it is gone.
    drop(send);
    for lane in lanes {
        lane.await??;
    }
    driver.await??;
    Ok(())
}

async fn lane(side: &Side, mut send: SendRequest<Bytes>) -> Outcome {
    while side.turn().await {
        send = send.ready().await?;
        let (response, _) = send.send_request(side.load.requests.next_request(), true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut len = 0;
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            len += chunk.len();
            body.flow_control().release_capacity(chunk.len())?;
        }
        side.count(head.status.as_u16(), || format!("{head:?} and {len} bytes"))?;
        side.done();
    }
    Ok(())
}

/// Wide enough that no small response waits for it; what a browser offers is of this order.
const WINDOW_BYTES: u32 = 6 << 20;
