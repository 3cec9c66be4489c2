//! Options of a lane's TCP socket.

use std::io;

use socket2::{Domain, Socket, Type};

const BBR: &str = "bbr";

/// Whether this process may choose BBR here.
pub(super) fn bbr_is_allowed() -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None);
    socket.and_then(|socket| choose_bbr(&socket)).is_ok()
}

fn choose_bbr(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_congestion(BBR.as_bytes())
}

/// Sets a lane's options; returns the congestion control the kernel uses, which need not be the one wanted.
pub(super) fn prepare(socket: &Socket, notsent_lowat_bytes: u32) -> io::Result<String> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(notsent_lowat_bytes)?;
    if let Err(error) = choose_bbr(socket) {
        tracing::warn!(%error, "a lane does without BBR: allow it in net.ipv4.tcp_allowed_congestion_control");
    }
    let name = socket.tcp_congestion()?;
    let text = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}
