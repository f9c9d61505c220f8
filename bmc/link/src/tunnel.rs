//! What agent and fleet agree on about the tunnel: names, limits, times.
//!
//! The agent dials the fleet's device listener over TLS 1.3 with its client
//! certificate, asks to upgrade to [`UPGRADE`] and serves HTTP/2 from then
//! on; the fleet is its only client.

use std::time::Duration;

/// The protocol named in the `Upgrade` header.
pub const UPGRADE: &str = "onprem-tunnel";

/// Where a device without a certificate asks for one.
pub const ENROL_PATH: &str = "/enrol";
/// Where a device renews its certificate.
pub const RENEW_PATH: &str = "/renew";
/// Where a device asks for the tunnel.
pub const TUNNEL_PATH: &str = "/tunnel";

/// On each answer of the device listener: the fleet's time, in milliseconds
/// since 1970.
pub const TIME_HEADER: &str = "onprem-time";
/// On the answer that opens a tunnel: the key that grants are checked with.
pub const GRANT_KEY_HEADER: &str = "onprem-grant-key";
/// On each request through the tunnel: the signed grant.
pub const GRANT_HEADER: &str = "onprem-grant";

/// Requests on their way through one tunnel at the same time.
pub const MAX_STREAMS: u32 = 256;

/// Streams that the fleet may reset before the agent took them up. Viewers
/// that leave together reset their streams together; the default of HTTP/2
/// servers (20) takes this for an attack and ends the connection. The fleet is
/// the authenticated peer, so the bound can be wide.
pub const MAX_PENDING_RESETS: usize = 8192;

/// Bytes on their way on one stream, and on the whole connection.
pub const STREAM_WINDOW: u32 = 256 << 10;
/// See [`STREAM_WINDOW`].
pub const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes that wait in memory to be written, per stream.
pub const SEND_BUFFER: usize = 64 << 10;
/// Bytes of headers of one request or answer.
pub const MAX_HEADERS: u32 = 64 << 10;

/// Bytes of the messages that enrol and renew.
pub const MAX_MESSAGE: usize = 32 << 10;

/// How a peer that went away without a word is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Time from one ping to the next.
    pub interval: Duration,
    /// Time to wait for the answer to a ping.
    pub timeout: Duration,
}

impl Default for KeepAlive {
    /// Together they stay well below the minute in which a device has to be
    /// shown as offline.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(20),
            timeout: Duration::from_secs(10),
        }
    }
}
