//! A guest of a few hundred bytes: real-mode code in the form of a Linux kernel, which counts on its disk.
//!
//! It is there in a quarter of a second and its memory is copied in no time, so that hundreds of moves fit into minutes.
//! At every third tick of the machine's slow clock, six times a second, it reads its counter back, compares it with the one in
//! its memory, and writes the next one. The count also goes round a ring of single sectors in the second half of the disk, each
//! in a block of which the guest writes nothing else; every sector is read back five steps later. So at a target that has half
//! of the disk, writes go into blocks that are absent, and what is read is the guest's sector or comes from the source. When the
//! disk does not hold what was written, the guest says so on the disk and counts no more.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use longhaul_lab::Lab;
use longhaul_lab::place::Side;
use longhaul_model::Source;
use longhaul_model::units::Size;
use sha2::{Digest as _, Sha256};

/// The size of its disk.
pub(in crate::moves) const DISK_BYTES: usize = 4 << 20;
/// Enough for the firmware.
const MEMORY_BYTES: u64 = 16 << 20;
/// Where on the disk it keeps what it counts.
const COUNT_AT: u64 = 8 * SECTOR;
/// Where it counts how often it was booted.
const BOOTS_AT: u64 = 16 * SECTOR;
/// What is not zero here after something was lost.
const LOST_AT: u64 = 24 * SECTOR;
const SECTOR: u64 = 512;
/// What may change: the blocks of the three.
const OWN: std::ops::Range<usize> = 4096..16384;
/// The ring's first sector: the fourth of the first block of the disk's second half.
const RING_AT: u64 = DISK_BYTES as u64 / 2 + 3 * SECTOR;
/// Its sectors lie this far apart, which is what a read of an absent block fetches at least.
const RING_STEP: u64 = 64 << 10;
const RING_SECTORS: u32 = 32;
/// From one count to the next the ring advances by so many sectors, so that no reader looks as if it read in order.
const RING_STRIDE: u32 = 7;
/// The last counts that are looked for in the ring from outside: fewer than it holds, for the guest counts on meanwhile.
const RING_SEEN: u32 = 24;

/// 16-bit code, to be run at offset 0x68 of its segment. From `as`, with `B(x)` for the buffer at 0x1000:
///
/// ```text
///        cli; cld; mov ax, cs; mov ds, ax; mov es, ax; sti
///        mov ecx, 16; call read; inc dword [B]; mov ecx, 16; call write     one more boot
///        mov ecx, 8; call read; mov ebp, [B]                               where it had counted to
/// again: xor ax, ax; mov fs, ax; mov bx, fs:[0x46c]                        the firmware's clock, 18.2 Hz
/// tick:  sti; hlt; mov ax, fs:[0x46c]; sub ax, bx; cmp ax, 3; jb tick
///        mov ecx, 8; call read; cmp [B], ebp; jne lost
///        mov edi, ebp; sub edi, 5; jbe fresh
///        call place; call read; cmp [B], edi; jne lost                     what it wrote five steps ago
/// fresh: inc ebp
///        mov edi, ebp; call place; mov [B], ebp; call write
///        mov ecx, 8; mov [B], ebp; call write; jmp again
/// lost:  mov [B], ebp; mov ecx, 24; call write
/// dead:  hlt; jmp dead
/// place: imul ecx, edi, 7; and ecx, 31; shl ecx, 7; add ecx, 4099; ret     the ring's sector for the count in edi
/// read:  mov ah, 0x42; jmp disk
/// write: mov ah, 0x43
/// disk:  mov dh, ah
/// retry: packet at 0xff0: 16 bytes, 1 sector, ds:0x1000, sector ecx
///        mov ah, dh; xor al, al; mov dl, 0x80; mov si, 0xff0
///        push dx, ecx, bx, ebp, edi; int 0x13; pop edi, ebp, bx, ecx, dx; jc retry; ret
/// ```
#[rustfmt::skip]
const CODE: &[u8] = &[
    0xfa, 0xfc, 0x8c, 0xc8, 0x8e, 0xd8, 0x8e, 0xc0, 0xfb, 0x66, 0xb9, 0x10, 0x00, 0x00, 0x00, 0xe8,
    0x9d, 0x00, 0x66, 0xff, 0x06, 0x00, 0x10, 0x66, 0xb9, 0x10, 0x00, 0x00, 0x00, 0xe8, 0x93, 0x00,
    0x66, 0xb9, 0x08, 0x00, 0x00, 0x00, 0xe8, 0x86, 0x00, 0x66, 0x8b, 0x2e, 0x00, 0x10, 0x31, 0xc0,
    0x8e, 0xe0, 0x64, 0x8b, 0x1e, 0x6c, 0x04, 0xfb, 0xf4, 0x64, 0xa1, 0x6c, 0x04, 0x29, 0xd8, 0x83,
    0xf8, 0x03, 0x72, 0xf3, 0x66, 0xb9, 0x08, 0x00, 0x00, 0x00, 0xe8, 0x62, 0x00, 0x66, 0x39, 0x2e,
    0x00, 0x10, 0x75, 0x36, 0x66, 0x89, 0xef, 0x66, 0x83, 0xef, 0x05, 0x76, 0x0d, 0xe8, 0x3b, 0x00,
    0xe8, 0x4c, 0x00, 0x66, 0x39, 0x3e, 0x00, 0x10, 0x75, 0x20, 0x66, 0x45, 0x66, 0x89, 0xef, 0xe8,
    0x29, 0x00, 0x66, 0x89, 0x2e, 0x00, 0x10, 0xe8, 0x39, 0x00, 0x66, 0xb9, 0x08, 0x00, 0x00, 0x00,
    0x66, 0x89, 0x2e, 0x00, 0x10, 0xe8, 0x2b, 0x00, 0xeb, 0xa4, 0x66, 0x89, 0x2e, 0x00, 0x10, 0x66,
    0xb9, 0x18, 0x00, 0x00, 0x00, 0xe8, 0x1b, 0x00, 0xf4, 0xeb, 0xfd, 0x66, 0x6b, 0xcf, 0x07, 0x66,
    0x83, 0xe1, 0x1f, 0x66, 0xc1, 0xe1, 0x07, 0x66, 0x81, 0xc1, 0x03, 0x10, 0x00, 0x00, 0xc3, 0xb4,
    0x42, 0xeb, 0x02, 0xb4, 0x43, 0x88, 0xe6, 0xc7, 0x06, 0xf0, 0x0f, 0x10, 0x00, 0xc7, 0x06, 0xf2,
    0x0f, 0x01, 0x00, 0xc7, 0x06, 0xf4, 0x0f, 0x00, 0x10, 0x8c, 0x1e, 0xf6, 0x0f, 0x66, 0x89, 0x0e,
    0xf8, 0x0f, 0x66, 0xc7, 0x06, 0xfc, 0x0f, 0x00, 0x00, 0x00, 0x00, 0x88, 0xf4, 0x30, 0xc0, 0xb2,
    0x80, 0xbe, 0xf0, 0x0f, 0x52, 0x66, 0x51, 0x53, 0x66, 0x55, 0x66, 0x57, 0xcd, 0x13, 0x66, 0x5f,
    0x66, 0x5d, 0x5b, 0x66, 0x59, 0x5a, 0x72, 0xbf, 0xc3,
];

/// The kernel file: a boot sector, a setup sector with the code, and a protected-mode part that never runs. The header's
/// fields are those of the Linux boot protocol 2.02 (Documentation/arch/x86/boot.rst), which QEMU's `-kernel` wants.
fn kernel() -> Vec<u8> {
    let mut file = vec![0; 3 * 512];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    // One setup sector.
    put(0x1f1, &[1]);
    put(0x1fe, &[0x55, 0xaa]);
    // jmp 0x268
    put(0x200, &[0xeb, 0x66]);
    put(0x202, b"HdrS");
    put(0x206, &[0x02, 0x02]);
    // Loaded high.
    put(0x211, &[1]);
    put(0x268, CODE);
    file
}

/// What the disk holds where the guest does not write: reproducible and nowhere zero for long.
fn known_content() -> Vec<u8> {
    let mut disk = vec![0; DISK_BYTES];
    fastrand::Rng::with_seed(1).fill(&mut disk);
    disk[OWN].fill(0);
    disk
}

/// A boot file's name: its SHA-256.
fn digest(file: &[u8]) -> String {
    Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts this guest in the place of the lab's own, before its first start.
pub(in crate::moves) fn install(lab: &Lab) -> io::Result<()> {
    let files = [kernel(), vec![0; 512]];
    let [kernel_name, initrd_name] = files.each_ref().map(|file| digest(file));
    for side in Side::BOTH {
        let boot = lab.files().agent(side).join("boot");
        for (name, file) in [&kernel_name, &initrd_name].into_iter().zip(&files) {
            std::fs::write(boot.join(name), file)?;
        }
    }
    let home = lab.files().agent(Side::A);
    let file = home.join("vms").join(format!("{}.yaml", lab.vm()));
    let text = std::fs::read_to_string(&file)?;
    let mut vm = longhaul_model::parse_vm(&Source::new("vm", &text)).expect("the lab wrote it");
    vm.memory = Size::from_bytes(MEMORY_BYTES);
    vm.disk.size = Size::from_bytes(DISK_BYTES as u64);
    (vm.boot.kernel, vm.boot.initrd) = (kernel_name, initrd_name);
    std::fs::write(file, vm.to_yaml())?;
    std::fs::write(home.join("disks").join(format!("{}.raw", lab.vm())), known_content())
}

/// What the guest wrote on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::moves) struct Marks {
    pub(in crate::moves) count: u32,
    pub(in crate::moves) boots: u32,
    pub(in crate::moves) lost: u32,
}

/// Reads the guest's marks from an image; zeros where there is none.
pub(in crate::moves) fn marks(image: &Path) -> Marks {
    let read = |at| {
        let mut bytes = [0; 4];
        let file = File::open(image).and_then(|file| file.read_exact_at(&mut bytes, at));
        file.map_or(0, |()| u32::from_le_bytes(bytes))
    };
    Marks { count: read(COUNT_AT), boots: read(BOOTS_AT), lost: read(LOST_AT) }
}

/// Where the ring holds a count.
fn ring_at(count: u32) -> u64 {
    RING_AT + u64::from(count.wrapping_mul(RING_STRIDE) % RING_SECTORS) * RING_STEP
}

fn is_in_ring(at: usize) -> bool {
    (at as u64).checked_sub(RING_AT).is_some_and(|at| at % RING_STEP < SECTOR)
}

/// Whether an image holds the known content wherever the guest does not write, and the guest's last counts in its ring; what it
/// does not.
pub(in crate::moves) fn differs(image: &Path) -> io::Result<Option<String>> {
    let count = marks(image).count;
    let (found, known) = (std::fs::read(image)?, known_content());
    if found.len() != known.len() {
        return Ok(Some(format!("it has {} bytes", found.len())));
    }
    for count in (count.saturating_sub(RING_SEEN) + 1)..=count {
        let at = usize::try_from(ring_at(count)).expect("the disk is small");
        if found[at..at + 4] != count.to_le_bytes() {
            return Ok(Some(format!("the count {count} is not at byte {at}")));
        }
    }
    let mut pairs = found.iter().zip(&known).enumerate();
    let own = |at| OWN.contains(&at) || is_in_ring(at);
    Ok(pairs.find(|(at, (found, known))| found != known && !own(*at)).map(|(at, _)| format!("byte {at}")))
}
