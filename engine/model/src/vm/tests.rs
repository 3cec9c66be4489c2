use proptest::prelude::*;

use super::*;

fn arbitrary() -> impl Strategy<Value = Vm> {
    let id = "[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8})?";
    let text = "[ -~]{0,40}|[\\PC]{0,12}";
    let head =
        (id, any::<u128>(), id, "[a-z]{1,6}-[a-z0-9]{1,6}-[0-9]{1,2}\\.[0-9]", "[ -~]{1,20}", 1..512u32);
    let rest = (
        1..1u64 << 42,
        1..1u64 << 30,
        any::<[u8; 5]>(),
        any::<u32>(),
        any::<Vec<u32>>(),
        any::<[u8; 32]>(),
        text,
    );
    (head, rest).prop_map(
        |(
            (id, uuid, home, machine, cpu, vcpus),
            (memory, blocks, mac, address, service, digest, cmdline),
        )| {
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            Vm {
                id: id.parse().unwrap(),
                uuid: uuid::Uuid::from_u128(uuid).to_string(),
                home: home.parse().unwrap(),
                machine,
                cpu,
                vcpus,
                memory: Size::from_bytes(memory),
                disk: Disk { size: Size::from_bytes(blocks * BLOCK_BYTES) },
                nic: Nic {
                    mac: mac.iter().fold("52".to_owned(), |text, octet| format!("{text}:{octet:02x}")),
                    address: address.into(),
                    service: service
                        .into_iter()
                        .map(|at| ServiceAddress { site: home.parse().unwrap(), address: at.into() })
                        .collect(),
                },
                boot: Boot { kernel: digest.clone(), initrd: digest, cmdline },
            }
        },
    )
}

proptest! {
    /// Whatever VM is written reads back the same. (proptest prints the seed of a failure.)
    #[test]
    fn written_vms_read_back(vm in arbitrary()) {
        let text = vm.to_yaml();
        let read = parse_vm(&Source::new("vm.yaml", &text));
        prop_assert_eq!(read, Ok(vm), "{}", text);
    }
}

/// Every mistake in a VM's file is reported at once, each at its own value.
#[test]
fn all_mistakes_of_a_vm_are_found() {
    let text = "apiVersion: longhaul/v2\nkind: Vm\nid: A\nuuid: x\nhome: a\nmachine: q35\ncpu: host\nvcpus: -1\n\
                memory: 10\ndisk: { size: 5GiB, format: raw }\nnic: { mac: x, address: 300.1.1.1, service: [{}] }\n";
    let found = parse_vm(&Source::new("vm.yaml", text)).unwrap_err();
    insta::assert_snapshot!(found.to_string());
}
