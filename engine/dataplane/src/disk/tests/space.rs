//! A file system that is full.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::rig::{Rig, Server, Tunnel, can, program};
use crate::disk::FillCondition;
use crate::disk::config::{Faults, Initial, OriginConfig};
use crate::nbd::Span;

/// A small file system of its own; gone when dropped.
struct Small(PathBuf);

impl Small {
    async fn mount(at: &Path, size: &str) -> Self {
        std::fs::create_dir(at).unwrap();
        let option = format!("size={size}");
        let (done, said) =
            program("mount", &["-t", "tmpfs", "-o", &option, "lhd", at.to_str().unwrap()]).await;
        assert!(done, "{said}");
        Self(at.into())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Proves that a full disk stops the fill with a named condition, that the guest still reads and writes what is there, that its own
/// write fails only when it needs space itself, and that the fill goes on when there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_the_fill() {
    if !can("root, to mount a file system", rustix::process::geteuid().is_root()) {
        return;
    }
    let rig = Rig::new(8 << 20);
    let source = rig.source(|_| Some(7)).await;
    let tunnel = Tunnel::new(&rig, &source);
    let small = Small::mount(&rig.folder.path().join("small"), "4m").await;
    let mut config = rig.config("b", Initial::Absent);
    config.image = small.0.join("disk.raw");
    config.origin = Some(OriginConfig {
        tunnel_socket: tunnel.socket.clone(),
        site: "a".into(),
        connections: 2,
        bits_per_second_max: 0,
    });
    config.faults = Faults::default();
    let target = Server::start(config).await;
    let origin = source.control().await.open_origin().await.unwrap().origin;
    let mut control = target.control().await;
    control.grant(2).await.unwrap();
    control.start_fill(origin).await.unwrap();
    let full = target.until("the disk is full", |status| status.fill.condition.is_some()).await.fill;
    assert_eq!(full.condition, Some(FillCondition::NoSpace));
    assert!(full.present_bytes > 0 && full.absent_bytes > 0, "{full:?}");

    let guest = target.writer(2).await.unwrap();
    guest
        .write(0, Bytes::from_static(&[9; 4096]), true)
        .await
        .expect("there is room for what is there already");
    guest.read(Span::new(0, 4096)).await.unwrap();
    let error = guest.write(7 << 20, Bytes::from(vec![9; 1 << 20]), false).await.unwrap_err();
    assert!(error.to_string().contains("no space"), "{error}");

    let (done, said) = program("mount", &["-o", "remount,size=16m", small.0.to_str().unwrap()]).await;
    assert!(done, "{said}");
    control.limit_fill(1000).await.unwrap();
    target.until("the fill goes on", |status| status.fill.absent_bytes == 0).await;
}
