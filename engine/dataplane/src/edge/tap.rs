//! Names and creation of the persistent devices.

use std::io;

use tun_rs::{AsyncDevice, DeviceBuilder, Layer};

use super::error::Error;

/// The device for packets to and from other sites.
pub(super) const TUNNEL: &str = "lh-edge";
/// What every tap's name begins with; rules match on it.
pub(super) const TAP_PREFIX: &str = "lht-";
/// Bytes of an interface name without the terminating NUL (IFNAMSIZ of linux/if.h less one).
const NAME_BYTES_MAX: usize = 15;
/// Largest packet. Packets to other sites travel inside TCP, so nothing has to be subtracted and guests keep 1,500.
pub(super) const MTU: u16 = 1500;
/// Packets the kernel holds for us between two reads; the default of 500 loses packets when the agent is preempted.
const TUNNEL_QUEUE_PACKETS: u32 = 2000;

/// The name of a VM's tap, the same whenever it is asked for: `lht-` and the VM's id, or, where that is too long for
/// an interface name, the id's beginning, a dot (which no id has) and a part of its hash.
#[must_use]
pub fn tap_name(vm: &str) -> String {
    let plain = vm.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if plain && !vm.is_empty() && TAP_PREFIX.len() + vm.len() <= NAME_BYTES_MAX {
        return format!("{TAP_PREFIX}{vm}");
    }
    let beginning: String = vm.chars().filter(char::is_ascii_alphanumeric).take(4).collect();
    let hash = blake3::hash(vm.as_bytes()).to_hex();
    format!("{TAP_PREFIX}{beginning}.{}", &hash[..6])
}

/// Opens the tunnel device, creating it if need be, so that it outlives this process.
pub(super) fn open_tunnel() -> Result<AsyncDevice, Error> {
    let open = || -> io::Result<AsyncDevice> {
        let builder =
            DeviceBuilder::new().name(TUNNEL).layer(Layer::L3).mtu(MTU).tx_queue_len(TUNNEL_QUEUE_PACKETS);
        let device = builder.build_async()?;
        device.persist()?;
        Ok(device)
    };
    open().map_err(|source| Error::Device { name: TUNNEL.to_owned(), source })
}

/// Creates a tap that nobody holds yet and that outlives this process.
pub(super) fn create_tap(name: &str) -> Result<(), Error> {
    let create = || -> io::Result<()> {
        let device = DeviceBuilder::new().name(name).layer(Layer::L2).mtu(MTU).enable(false).build_sync()?;
        device.persist()
    };
    create().map_err(|source| Error::Device { name: name.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names fit an interface, are stable, and long ids with one beginning do not collide.
    #[test]
    fn names_fit() {
        assert_eq!(tap_name("guest"), "lht-guest");
        let (one, two) = (tap_name("accounting-database-1"), tap_name("accounting-database-2"));
        assert_ne!(one, two);
        for name in [one, two, tap_name("a/b"), tap_name("")] {
            assert!(name.len() <= NAME_BYTES_MAX && !name.contains('/'), "{name}");
        }
    }
}
