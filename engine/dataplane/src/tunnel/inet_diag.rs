//! What the kernel knows of a TCP connection, asked over `NETLINK_SOCK_DIAG`.
//!
//! The same numbers as `TCP_INFO`, for which no crate in use has a safe call. Layouts: `linux/inet_diag.h`, `linux/tcp.h`.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const INET_DIAG_INFO: u16 = 2;
/// Asks for the congestion control's own numbers, whichever it is.
const INET_DIAG_VEGASINFO: u16 = 3;
const INET_DIAG_BBRINFO: u16 = 16;
/// Netlink header, family to states, ports, addresses, interface, cookie.
const REQUEST_LEN: u32 = 16 + 8 + 4 + 32 + 4 + 8;
/// Netlink header and `struct inet_diag_msg`, before the attributes.
const REPLY_FIXED_LEN: usize = 16 + 4 + 48 + 20;

/// One connection: its counters since it was made, and what its congestion control thinks of the path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TcpInfo {
    pub(super) rtt_us: u64,
    pub(super) retransmits: u64,
    /// Segments with data, repeated ones included.
    pub(super) segments_sent: u64,
    pub(super) bytes_sent: u64,
    pub(super) bytes_acked: u64,
    pub(super) bytes_received: u64,
    /// Only where BBR is in charge.
    pub(super) bbr: Option<Bbr>,
}

/// BBR's model of the path; gains in 256ths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bbr {
    pub(super) bytes_per_second: u64,
    pub(super) min_rtt_us: u64,
    pub(super) pacing_gain: u64,
    pub(super) cwnd_gain: u64,
}

/// Asks about the connection with these ends, in the network namespace of the calling thread.
///
/// # Errors
/// The kernel does not know the connection (any more), or cannot be asked.
pub(super) fn query(local: SocketAddr, remote: SocketAddr) -> io::Result<TcpInfo> {
    let kernel = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    rustix::net::send(&kernel, &request(local, remote), SendFlags::empty())?;
    let mut reply = [0; 2048];
    // The kernel answers before `send` returns; no answer is an error, not a wait.
    let (len, _) = rustix::net::recv(&kernel, &mut reply, RecvFlags::DONTWAIT)?;
    parse(&reply[..len]).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn request(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut bytes = Vec::with_capacity(REQUEST_LEN as usize);
    bytes.extend(REQUEST_LEN.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend([0; 8]);
    let wanted = 1 << (INET_DIAG_INFO - 1) | 1 << (INET_DIAG_VEGASINFO - 1);
    bytes.extend([family, IPPROTO_TCP, wanted, 0]);
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(remote.port().to_be_bytes());
    bytes.extend(address(local.ip()));
    bytes.extend(address(remote.ip()));
    bytes.extend([0; 4]);
    bytes.extend([0xff; 8]);
    bytes
}

fn address(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            bytes
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn parse(reply: &[u8]) -> Option<TcpInfo> {
    let kind = u16::from_ne_bytes(reply.get(4..6)?.try_into().ok()?);
    if kind != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let info = tcp_info(attribute(reply, INET_DIAG_INFO)?)?;
    Some(TcpInfo { bbr: attribute(reply, INET_DIAG_BBRINFO).and_then(bbr_info), ..info })
}

fn attribute(reply: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = reply.get(REPLY_FIXED_LEN..)?;
    loop {
        let len = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        if u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?) == wanted {
            return rest.get(4..len);
        }
        // Attributes are padded to four bytes; one shorter than its own header would never end.
        rest = rest.get(len.max(4).next_multiple_of(4)..)?;
    }
}

/// Reads `struct tcp_info`, whose kernel only ever appends to it.
fn tcp_info(info: &[u8]) -> Option<TcpInfo> {
    let long = |at: usize| Some(u64::from_ne_bytes(info.get(at..at + 8)?.try_into().ok()?));
    Some(TcpInfo {
        rtt_us: short(info, 68)?,
        retransmits: short(info, 100)?,
        bytes_acked: long(120)?,
        bytes_received: long(128)?,
        segments_sent: short(info, 156)?,
        bytes_sent: long(200)?,
        bbr: None,
    })
}

/// Reads `struct tcp_bbr_info`.
fn bbr_info(info: &[u8]) -> Option<Bbr> {
    Some(Bbr {
        bytes_per_second: short(info, 0)? | short(info, 4)? << 32,
        min_rtt_us: short(info, 8)?,
        pacing_gain: short(info, 12)?,
        cwnd_gain: short(info, 16)?,
    })
}

fn short(info: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// The kernel's counters of a loopback connection are those of what was written to it.
    #[test]
    fn counters_are_those_of_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(&[7; 5000]).unwrap();
        server.read_exact(&mut [0; 5000]).unwrap();
        let info = query(client.local_addr().unwrap(), client.peer_addr().unwrap()).unwrap();
        assert_eq!(info.bytes_sent, 5000);
        assert!(info.segments_sent > 0 && info.bytes_acked <= 5001, "{info:?}");
        let info = query(server.local_addr().unwrap(), server.peer_addr().unwrap()).unwrap();
        assert_eq!(info.bytes_received, 5000);
    }
}
