//! What a disk server says of itself, and how far it is told to fill its disk, from outside.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use longhaul_lab::Lab;
use longhaul_lab::place::Side;
use serde_json::Value;

/// What is the case at a site's disk server; `None` where none answers.
pub(in crate::moves) fn status(lab: &Lab, side: Side) -> Option<Value> {
    ask(lab, side, "{\"request\":\"status\"}")
}

/// Stops the fill of a site's disk; false where no server answers. It goes on when the server is started anew, or told to.
pub(in crate::moves) fn hold_fill(lab: &Lab, side: Side) -> bool {
    let reply = ask(lab, side, "{\"request\":\"limit_fill\",\"present_permille\":0}");
    reply.is_some_and(|reply| reply["reply"] == "done")
}

fn ask(lab: &Lab, side: Side, request: &str) -> Option<Value> {
    let mut stream = UnixStream::connect(lab.files().disk_socket(side, lab.vm())).ok()?;
    stream.write_all(format!("{request}\n").as_bytes()).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}
