//! Tree: files of every kind that an appliance may hold, to be put into images.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use super::view::run;

/// Bytes that look random and are the same each time.
pub(crate) fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..count.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(count);
    bytes
}

/// Names, sizes and content that every format can hold.
pub(crate) fn plain(root: &Path) {
    for folder in ["etc", "usr/lib/deep/er/and/deeper", "empty folder", "var/log"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for (n, size) in [0, 1, 59, 60, 61, 150, 511, 512, 513, 1023, 4095, 4096, 4097, 70_000].into_iter().enumerate() {
        fs::write(root.join(format!("etc/size-{size}")), noise(n as u64 + 1, size)).unwrap();
    }
    fs::write(root.join("usr/lib/big.bin"), noise(99, 3_333_333)).unwrap();
    fs::write(root.join("var/log/zeros"), vec![0; 1_000_000]).unwrap();
    fs::write(root.join("usr/lib/deep/er/and/deeper/A long name, with spaces and Ünïcode.text"), "found").unwrap();
    for n in 0..60 {
        fs::write(root.join(format!("var/log/file-{n:03}.log")), format!("line {n}\n").repeat(n)).unwrap();
    }
}

/// What only file systems of Unix can hold. Needs root for devices, owners and capabilities.
pub(crate) fn unix(root: &Path) {
    unix_without_attributes(root);
    if rustix::process::geteuid().is_root() {
        run("setcap", &["cap_net_raw+ep", root.join("etc/size-4096").to_str().unwrap()]);
    }
}

/// The same without capabilities.
pub(crate) fn unix_without_attributes(root: &Path) {
    fs::write(root.join(OsStr::from_bytes(b"etc/not \xff\xfe utf-8")), "bytes").unwrap();
    symlink("etc/size-1", root.join("short link")).unwrap();
    symlink("x".repeat(59), root.join("link-59")).unwrap();
    symlink("y".repeat(60), root.join("link-60")).unwrap();
    symlink("long/".repeat(180) + "end", root.join("link-903")).unwrap();
    fs::hard_link(root.join("etc/size-4097"), root.join("var/another name")).unwrap();
    let sparse = fs::File::create(root.join("var/sparse")).unwrap();
    sparse.write_all_at(b"begin", 0).unwrap();
    sparse.write_all_at(&noise(5, 9000), 5_000_001).unwrap();
    sparse.set_len(20_000_000).unwrap();
    fs::File::create(root.join("var/all-hole")).unwrap().set_len(300_000).unwrap();
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    run("mkfifo", &[&path("var/fifo")]);
    fs::set_permissions(root.join("etc/size-60"), fs::Permissions::from_mode(0o4751)).unwrap();
    run("touch", &["-d", "1966-01-02 03:04:05.123456789 UTC", &path("etc/size-59")]);
    run("touch", &["-d", "2101-02-03 04:05:06.987654321 UTC", &path("etc/size-61")]);
    let socket = std::os::unix::net::UnixListener::bind(root.join("var/sock")).unwrap();
    drop(socket);
    if rustix::process::geteuid().is_root() {
        run("mknod", &[&path("var/null"), "c", "1", "3"]);
        run("mknod", &[&path("var/disk"), "b", "259", "70000"]);
        run("chown", &["70000:80000", &path("etc/size-150")]);
    }
}

/// Attributes, where the folder lies on a file system that has them. Needs root.
pub(crate) fn attributes(root: &Path) {
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    run("setcap", &["cap_net_raw,cap_sys_admin+ep", &path("etc/size-4096")]);
    run("setfattr", &["-n", "user.short", "-v", "value", &path("etc/size-512")]);
    run("setfattr", &["-n", "user.empty", &path("etc/size-512")]);
    run("setfattr", &["-n", "trusted.secret", "-v", "0x00ff00", &path("etc/size-512")]);
    run("setfattr", &["-n", "security.selinux", "-v", "system_u:object_r:etc_t:s0", &path("etc")]);
    run("setfattr", &["-h", "-n", "trusted.of-link", "-v", "1", &path("link-60")]);
    for n in 0..12 {
        let value = "v".repeat(40 + n);
        run("setfattr", &["-n", &format!("user.number-{n}"), "-v", &value, &path("etc/size-513")]);
    }
    run("setfacl", &["-m", "u:1234:r,g:77:rwx", &path("etc/size-70000")]);
    run("setfacl", &["-d", "-m", "u:4321:rx", &path("usr")]);
}

/// Attributes of files that [`plain`] makes.
pub(crate) fn attributes_of_plain(root: &Path) {
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    run("setcap", &["cap_net_raw,cap_sys_admin+ep", &path("etc/size-4096")]);
    run("setfattr", &["-n", "trusted.secret", "-v", "0x00ff00", &path("etc/size-512")]);
}

/// A large file whose blocks lie all over the volume: it and another grow in turns.
pub(crate) fn fragmented(root: &Path, pieces: u64) {
    let files = ["in-pieces-1", "in-pieces-2"].map(|name| fs::File::create(root.join(name)).unwrap());
    for n in 0..pieces {
        for (seed, file) in files.iter().enumerate() {
            file.write_all_at(&noise(n * 2 + seed as u64, 4096), n * 8192).unwrap();
            if n % 16 == 0 {
                file.sync_data().unwrap();
            }
        }
    }
}

/// A folder of many names.
pub(crate) fn crowded(root: &Path, name: &str, count: usize) {
    let folder = root.join(name);
    fs::create_dir(&folder).unwrap();
    for n in 0..count {
        fs::write(folder.join(format!("{n:05}-a-name-of-some-length-so-that-blocks-fill")), n.to_string()).unwrap();
    }
    // Holes in the blocks.
    for n in (0..count).step_by(7) {
        fs::remove_file(folder.join(format!("{n:05}-a-name-of-some-length-so-that-blocks-fill"))).unwrap();
    }
}
