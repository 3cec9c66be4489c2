use std::fs;

use longhaul_model::Source;
use tempfile::TempDir;

use super::*;

const KERNEL: &[u8] = b"a kernel";
const INITRD: &[u8] = b"an initial RAM disk";

fn name_of(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A folder with both files, and what looks at it.
fn files() -> (TempDir, BootFiles) {
    let folder = tempfile::tempdir().unwrap();
    for content in [KERNEL, INITRD] {
        put(&folder, &name_of(content), content);
    }
    let files = BootFiles::new(folder.path());
    (folder, files)
}

/// Writes a file that looks as if nobody had touched it for an hour.
fn put(folder: &TempDir, name: &str, content: &[u8]) {
    fs::write(folder.path().join(name), content).unwrap();
    age(folder, name, 3600);
}

fn age(folder: &TempDir, name: &str, seconds: u64) {
    let file = File::options().write(true).open(folder.path().join(name)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
}

fn spec() -> Vm {
    let (kernel, initrd) = (name_of(KERNEL), name_of(INITRD));
    let text = format!(
        "apiVersion: longhaul/v1\nkind: Vm\nid: vm-a\nuuid: 6f0c3b0e-6d0c-4b5e-9c77-0c7f3c1f2a10\nhome: a\n\
         machine: pc-q35-10.0\ncpu: max\nvcpus: 1\nmemory: 128MiB\ndisk: {{ size: 256MiB }}\n\
         nic: {{ mac: \"52:54:00:12:34:56\", address: 10.1.0.5, service: [] }}\n\
         boot: {{ kernel: {kernel}, initrd: {initrd}, cmdline: quiet }}\n"
    );
    longhaul_model::parse_vm(&Source::new("vm-a.yaml", &text)).unwrap()
}

/// With one byte flipped a file is not what its name says: it is not reported, and no VM is started from it.
#[tokio::test]
async fn a_flipped_byte_is_noticed() {
    let (folder, files) = files();
    let (kernel, initrd) = (name_of(KERNEL), name_of(INITRD));
    let mut both = vec![kernel.clone(), initrd.clone()];
    both.sort();
    assert_eq!(files.digests().await.unwrap(), both);
    files.check("b", &spec()).await.unwrap();
    let mut flipped = KERNEL.to_vec();
    flipped[3] ^= 1;
    put(&folder, &kernel, &flipped);
    age(&folder, &kernel, 1800);
    assert_eq!(files.digests().await.unwrap(), [initrd]);
    let error = files.check("b", &spec()).await.unwrap_err();
    let found = name_of(&flipped);
    assert_eq!(error.class, Class::Precondition);
    for words in ["other content under the name of the kernel", &kernel, &found, "again"] {
        assert!(error.to_string().contains(words), "no `{words}` in {error}");
    }
}

/// A copy that broke off is no copy, and a file that is not there is asked for by name.
#[tokio::test]
async fn a_part_of_a_file_is_none() {
    let (folder, files) = files();
    let initrd = name_of(INITRD);
    put(&folder, &initrd, &INITRD[..4]);
    assert_eq!(files.digests().await.unwrap(), [name_of(KERNEL)]);
    fs::remove_file(folder.path().join(&initrd)).unwrap();
    let error = files.check("b", &spec()).await.unwrap_err();
    assert!(error.to_string().contains(&format!("does not have the initrd {initrd}")), "{error}");
}

/// A file that stays as it is is read once, one that changed just now every time.
#[test]
fn an_old_file_is_hashed_once() {
    let (folder, files) = files();
    let name = name_of(KERNEL);
    let path = folder.path().join(&name);
    assert_eq!(files.digest(&path).unwrap(), name);
    // What was hashed is remembered under the stamp: content that changed without one is not read.
    let stamp = fs::metadata(&path).unwrap().modified().unwrap();
    let same_stamp = |content: &[u8], at| {
        fs::write(&path, content).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
    };
    same_stamp(b"A KERNEL", stamp);
    assert_eq!(files.digest(&path).unwrap(), name);
    let now = SystemTime::now();
    for content in [b"a Kernel", b"a kerneL"] {
        same_stamp(content, now);
        assert_eq!(files.digest(&path).unwrap(), name_of(content));
    }
}
