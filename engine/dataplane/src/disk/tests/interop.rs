//! Other people's clients, and clients that nobody would want.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::rig::{DEADLINE, Rig, can_run, program};

async fn qemu_io(uri: &str, commands: &[&str]) -> String {
    let mut arguments = vec!["-f", "raw", "-d", "unmap"];
    commands.iter().for_each(|command| arguments.extend(["-c", command]));
    arguments.push(uri);
    let (done, said) = program("qemu-io", &arguments).await;
    assert!(done && !said.contains("failed"), "{commands:?}: {said}");
    said
}

/// Proves that QEMU's and libnbd's programs write, zero, discard, map, copy and compare.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qemu_and_libnbd_are_served() {
    if !can_run(&["qemu-io", "qemu-img", "nbdinfo", "nbdcopy"]) {
        return;
    }
    let rig = Rig::new(4 << 20);
    let server = rig.source(|part| (part % 2 == 0).then_some(7)).await;
    let uri = server.uri("disk.sock", "vm-a@1");
    let commands = [
        "read -P 7 0 64k",
        "read -P 0 64k 64k",
        "write -P 9 512 1k",
        "read -P 9 512 1k",
        "write -f -P 8 1M 64k",
        "write -z 2M 100k",
        "write -z -u 3M 64k",
        "discard 256k 64k",
        "aio_write -P 5 300k 64k",
        "aio_write -P 6 400k 64k",
        "aio_flush",
        "flush",
        "read -P 5 300k 64k",
        "read -P 6 400k 64k",
        "read -P 0 2M 100k",
        "read -P 0 3M 64k",
    ];
    qemu_io(&uri, &commands).await;
    server.control().await.open_origin().await.unwrap();
    let origin = server.uri("origin.sock", "vm-a");
    let (done, said) = program("nbdinfo", &["--map", &origin]).await;
    assert!(done && said.contains("hole,zero") && said.contains("data"), "{said}");
    let (done, said) = program("nbdinfo", &[&origin]).await;
    assert!(done && said.contains("is_read_only: true") && said.contains("can_multi_conn: true"), "{said}");
    let copy = rig.folder.path().join("copy.raw");
    let copied = copy.to_str().unwrap();
    let (done, said) = program("nbdcopy", &[&origin, copied]).await;
    assert!(done, "{said}");
    let (done, said) = program("qemu-img", &["compare", "-f", "raw", "-F", "raw", copied, &origin]).await;
    assert!(done, "{said}");
    let (done, said) = program("qemu-io", &["-f", "raw", "-c", "write 0 4k", &origin]).await;
    assert!(!done, "the origin is read-only: {said}");
}

/// Proves that garbage, wrong flags, huge lengths and early goodbyes end one connection and never the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_clients_only_hurt_themselves() {
    if !can_run(&["qemu-io"]) {
        return;
    }
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let rig = Rig::new(1 << 20);
    let server = rig.source(|_| Some(1)).await;
    let huge_option =
        [&0u32.to_be_bytes()[..], b"IHAVEOPT", &7u32.to_be_bytes(), &u32::MAX.to_be_bytes()].concat();
    for attempt in 0..60 {
        let mut stream = UnixStream::connect(server.socket("disk.sock")).await.unwrap();
        let length = random.usize(..400);
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
        let message = match attempt % 3 {
            0 => noise,
            1 => huge_option.clone(),
            _ => [
                &1u32.to_be_bytes()[..],
                b"IHAVEOPT",
                &random.u32(1..12).to_be_bytes(),
                &64u32.to_be_bytes(),
                &[0xff; 64],
            ]
            .concat(),
        };
        // The server may have hung up already.
        let _ = stream.write_all(&message).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the server keeps a broken connection open");
    }
    let uri = server.uri("disk.sock", "vm-a@1");
    qemu_io(&uri, &["read -P 1 0 1M"]).await;
    let (done, said) =
        program("qemu-io", &["-f", "raw", "-c", "read 0 4k", &server.uri("disk.sock", "vm-b@1")]).await;
    assert!(!done && said.contains("no such export"), "{said}");
}
