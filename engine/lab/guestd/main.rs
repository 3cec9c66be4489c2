//! The daemon of the lab's guest: it serves clients, writes memory and disk, and can tell when a byte was lost.
//!
//! | port | serves |
//! |---|---|
//! | 80 | HTTP: `/` a short page, `/blob?bytes=N&seed=S` content that the client can check |
//! | 7000 | ticker: a line `SEQ MONOTONIC_NS` every 10 ms, numbered from 1 for each connection |
//! | 7002 | the statistics as one line of JSON |
//! | 7003 | verification: reads everything again, answers one line of JSON |
//! | 7004 | after a byte, reads samples of every file from the device, again and again; a line of JSON for each round |
//!
//! It runs as the guest's first process: if it ends, the kernel panics, which is as visible as can be. It must never
//! repair or hide what it finds wrong: a wrong page or record is counted and stays wrong.

mod base;
mod disk;
mod memory;
mod pattern;
mod serve;

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What the daemon was told on the kernel's command line: `lh.KEY=VALUE`.
pub(crate) struct Options(HashMap<String, u64>);

impl Options {
    fn read() -> Self {
        let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let options = line.split_whitespace().filter_map(|word| {
            let (key, value) = word.strip_prefix("lh.")?.split_once('=')?;
            Some((key.to_owned(), value.parse().ok()?))
        });
        Self(options.collect())
    }

    /// The value of a key, or its default.
    pub(crate) fn get(&self, key: &str, default: u64) -> u64 {
        self.0.get(key).copied().unwrap_or(default)
    }
}

/// Everything the services answer from.
pub(crate) struct Guest {
    started: Instant,
    memory: Mutex<memory::WorkingSet>,
    disk: Option<Mutex<disk::Log>>,
    base: base::Base,
}

fn main() {
    let options = Options::read();
    let guest = Arc::new(Guest {
        started: Instant::now(),
        memory: Mutex::new(memory::WorkingSet::new(options.get("memory_kib", 32 * 1024))),
        disk: open_disk(&options).map(Mutex::new),
        base: base::Base::read("/base.manifest", "/data"),
    });
    spawn_writers(&guest, &options);
    serve::all(&guest);
    // For people who read the console; nobody waits for it.
    let _console_gone = std::io::stdout().write_all(b"guestd: ready\n");
    loop {
        std::thread::park();
    }
}

fn open_disk(options: &Options) -> Option<disk::Log> {
    let region = disk::Region {
        offset: options.get("log_offset_kib", 0) * 1024,
        bytes: options.get("log_kib", 0) * 1024,
    };
    if region.bytes == 0 {
        return None;
    }
    Some(disk::Log::open("/dev/vda", region).expect("the disk opens for direct access"))
}

fn spawn_writers(guest: &Arc<Guest>, options: &Options) {
    let rate_kib = options.get("memory_rate_kib", 2 * 1024);
    let writer = Arc::clone(guest);
    std::thread::spawn(move || memory::write_for_ever(&writer.memory, rate_kib));
    let interval_ms = options.get("disk_interval_ms", 50);
    let writer = Arc::clone(guest);
    std::thread::spawn(move || {
        if let Some(log) = &writer.disk {
            disk::write_for_ever(log, interval_ms);
        }
    });
}
