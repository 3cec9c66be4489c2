//! The initial RAM disk: everything the guest runs, as a cpio archive.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::image::Error;
use super::kernel::{Kernel, MODULES};

const GUESTD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guestd"));
const FOLDERS: &[&str] = &["proc", "sys", "dev", "data", "modules"];
const FILE: u32 = 0o100_755;
const FOLDER: u32 = 0o040_755;

/// The archive as bytes. The same inputs give the same bytes, so the digest names the content.
pub(super) fn build(kernel: &Kernel, busybox: &Path, manifest: &str) -> Result<Vec<u8>, Error> {
    let read = |path: &Path| fs::read(path).map_err(|source| Error::Io(path.to_owned(), source));
    let mut archive = Archive::default();
    for folder in FOLDERS {
        archive.add(folder, FOLDER, &[])?;
    }
    archive.add("init", FILE, init().as_bytes())?;
    archive.add("busybox", FILE, &read(busybox)?)?;
    archive.add("guestd", FILE, GUESTD)?;
    archive.add("base.manifest", FILE, manifest.as_bytes())?;
    for (name, path) in MODULES.iter().zip(&kernel.modules) {
        archive.add(&format!("modules/{name}.ko"), FILE, &read(path)?)?;
    }
    archive.finish()
}

/// `lh_address` and `lh_gateway` come from the kernel's command line, which hands unknown settings to the first process.
fn init() -> String {
    let load: String = MODULES.iter().map(|name| format!("$bb insmod /modules/{name}.ko\n")).collect();
    format!(
        "#!/busybox sh\n\
         bb=/busybox\n\
         $bb mount -t proc proc /proc\n\
         $bb mount -t sysfs sysfs /sys\n\
         $bb mount -t devtmpfs devtmpfs /dev\n\
         {load}\
         $bb ip link set lo up\n\
         $bb ip addr add $lh_address/32 dev eth0\n\
         $bb ip link set eth0 up\n\
         $bb ip route add $lh_gateway dev eth0\n\
         $bb ip route add default via $lh_gateway\n\
         $bb mount -t ext4 /dev/vda /data\n\
         exec /guestd\n"
    )
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
        self.entries += 1;
        let entry = cpio::newc::Builder::new(name).ino(self.entries).nlink(1).mode(mode);
        let length =
            u32::try_from(content.len()).map_err(|_| Error::Archive(io::ErrorKind::FileTooLarge.into()))?;
        let mut writer = entry.write(&mut self.bytes, length);
        writer.write_all(content).and_then(|()| writer.finish().map(|_| ())).map_err(Error::Archive)
    }

    fn finish(mut self) -> Result<Vec<u8>, Error> {
        cpio::newc::trailer(&mut self.bytes).map_err(Error::Archive)?;
        Ok(self.bytes)
    }
}
