//! Who may write.

use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::rig::{DEADLINE, Rig, Server, can_run, open_again, program};
use crate::disk::config::{Config, Faults, Initial};
use crate::disk::store::Store;
use crate::disk::{ControlError, Error, RefusalKind};
use crate::nbd::{Span, client};

fn refused_with(result: Result<crate::nbd::Client, client::Error>, word: &str) {
    match result {
        Err(client::Error::Refused { text, .. }) => assert!(text.contains(word), "{text}"),
        other => panic!("not refused: {other:?}"),
    }
}

/// Proves that only the granted epoch writes, that a higher grant ends lower sessions, and that a lower one is refused.
#[tokio::test]
async fn only_the_highest_epoch_writes() {
    let rig = Rig::new(1 << 20);
    let server = rig.source(|_| None).await;
    let mut control = server.control().await;
    refused_with(server.writer(0).await, "epoch");
    refused_with(server.writer(2).await, "epoch 2 is not 1");
    let low = server.writer(1).await.unwrap();
    low.write(0, Bytes::from_static(&[1; 4096]), false).await.unwrap();
    let writers = control.status().await.unwrap().writers;
    assert_eq!((writers.len(), writers[0].epoch, writers[0].bytes_written), (1, 1, 4096));
    assert_eq!(writers[0].pid, std::process::id());

    control.grant(2).await.unwrap();
    assert!(
        low.write(0, Bytes::from_static(&[2; 4096]), false).await.is_err(),
        "the lower epoch is shut out"
    );
    refused_with(server.writer(1).await, "epoch 1 is not 2");
    match control.grant(1).await {
        Err(ControlError::Refused(refusal)) => assert_eq!(refusal.kind, RefusalKind::Epoch),
        other => panic!("a lower grant must be refused: {other:?}"),
    }
    let high = server.writer(2).await.unwrap();
    let read = high.read(Span::new(0, 4096)).await.unwrap();
    assert_eq!(read, [crate::nbd::Piece::Data(Bytes::from_static(&[1; 4096]))]);
}

/// Proves that under one epoch one process writes, over many connections and after a restart of the server, and no
/// other while it lives.
#[tokio::test]
async fn one_process_per_epoch() {
    if !can_run(&["qemu-io"]) {
        return;
    }
    let rig = Rig::new(1 << 20);
    let mut server = rig.source(|_| None).await;
    let uri = server.uri("disk.sock", "vm-a@1");
    let (done, said) = program("qemu-io", &["-f", "raw", "-c", "write 0 4k", &uri]).await;
    assert!(done, "a process that is gone blocks nobody: {said}");

    let _first = server.writer(1).await.unwrap();
    let _second = server.writer(1).await.expect("many connections of one process");
    let (done, said) = program("qemu-io", &["-f", "raw", "-c", "write 0 4k", &uri]).await;
    assert!(!done && said.contains("writes under epoch 1"), "{said}");

    server.restart().await;
    let (done, said) = program("qemu-io", &["-f", "raw", "-c", "write 0 4k", &uri]).await;
    assert!(!done, "a restart must not let another process in: {said}");
    server.writer(1).await.expect("the same process connects again");
}

/// Proves that a frozen disk is read-only also after a restart, and that its origin stays open.
#[tokio::test]
async fn frozen_is_for_ever() {
    let rig = Rig::new(1 << 20);
    let mut server = rig.source(|_| Some(3)).await;
    let opened = server.control().await.open_origin().await.unwrap();
    assert_eq!((opened.disk_bytes, opened.allocated_bytes), (1 << 20, 1 << 20));
    server.control().await.freeze(2).await.unwrap();
    server.restart().await;
    let writer = server.writer(1).await.unwrap();
    assert!(writer.write(0, Bytes::from_static(&[1; 512]), false).await.is_err());
    assert_eq!(server.control().await.status().await.unwrap().frozen, Some(2));
    let (done, said) = program("nbdinfo", &["--map", &server.uri("origin.sock", "vm-a")]).await;
    assert!(done && said.contains("data"), "{said}");
}

fn config(folder: &tempfile::TempDir) -> Config {
    Config {
        vm: "vm".into(),
        image: folder.path().join("image"),
        map: folder.path().join("map"),
        disk_bytes: 1 << 20,
        initial: Initial::Absent,
        sockets: folder.path().into(),
        origin: None,
        faults: Faults::default(),
    }
}

/// Proves that one torn copy of the header is repaired from the other without losing an epoch, that two torn copies are
/// refused, and that so is a second server, another VM's map and an image of another size.
#[test]
fn damaged_and_foreign_maps() {
    let folder = tempfile::Builder::new().prefix("lhd-").tempdir().unwrap();
    let config = config(&folder);
    let store = Store::open(&config).unwrap();
    store.grant(5).unwrap();
    assert!(matches!(Store::open(&config), Err(Error::Locked)));
    drop(store);
    let map = std::fs::File::options().write(true).open(&config.map).unwrap();
    for slot in [0, 4096] {
        map.write_all_at(&[0xff; 100], slot + 20).unwrap();
        let store = open_again(&config).unwrap();
        assert_eq!(store.header().epoch, 5);
        store.grant(5 + slot / 4096).unwrap();
        store
            .change_header(|header| {
                header.frozen_epoch += 1;
                Ok(())
            })
            .unwrap();
        drop(store);
    }
    map.write_all_at(&[0xff; 100], 20).unwrap();
    map.write_all_at(&[0xff; 100], 4096 + 20).unwrap();
    assert!(matches!(open_again(&config), Err(Error::Header)));

    std::fs::remove_file(&config.map).unwrap();
    drop(open_again(&config).unwrap());
    let other = Config { vm: "other".into(), ..config.clone() };
    assert!(matches!(open_again(&other), Err(Error::Mismatch(_))));
    let bigger = Config { disk_bytes: 2 << 20, ..config };
    assert!(matches!(open_again(&bigger), Err(Error::Mismatch(_))));
}

/// Proves that two processes cannot serve one disk.
#[tokio::test]
async fn one_server_per_disk() {
    let rig = Rig::new(1 << 20);
    let server: Server = rig.source(|_| None).await;
    assert!(matches!(Store::open(&server.config), Err(Error::Locked)));
}

/// Proves that marks of very many runs are no matter of minutes.
#[test]
fn many_runs_are_marked_at_once() {
    let folder = tempfile::Builder::new().prefix("lhd-").tempdir().unwrap();
    let runs = 800_000;
    let store = Store::open(&Config { disk_bytes: 2 * runs * 4096, ..config(&folder) }).unwrap();
    store.grant(1).unwrap();
    store.attach(7).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    // A thread of its own: one that takes minutes is not waited for.
    std::thread::spawn(move || {
        let extents: Vec<_> = (0..runs).map(|run| Span::new(2 * run * 4096, 4096)).collect();
        tell.send(store.mark_absent(&extents).is_ok()).unwrap();
    });
    assert!(told.recv_timeout(DEADLINE).expect("the marks take too long"));
}
