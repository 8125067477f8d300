//! Generations: are all installations on one disk found, and each held against its own manifest?

use std::path::PathBuf;

use crate::{Appliance, check, has, records, shell};

/// A disk with two root volumes, as an appliance keeps them: the one that runs, which shows nothing, and
/// an older one for a rollback, in which a web shell waits.
fn disk(appliance: &Appliance) -> (PathBuf, PathBuf) {
    let dir = appliance.path();
    let vpn1 = dir.join("lab/evidence/vpn1");
    shell(
        &format!(
            "cp -a {0} current && cp -a {0} rollback && sed -i 's/DSREL_COMMENT=.*/DSREL_COMMENT=\"R9\"/' \
             rollback/home/VERSION && \
             (cd rollback && echo '# version: 9.1R9' > ../9.1R9.sha256 && \
              find . -type f -not -path './data/*' -not -path './home/runtime/*' -exec sha256sum {{}} + \
             >> ../9.1R9.sha256) && \
             echo 'harmless' > rollback/home/webserver/htdocs/dana-na/auth/waiting.cgi && \
             mke2fs -q -t ext4 -L current -d current c.fs 64M && mke2fs -q -t ext4 -L rollback -d rollback r.fs 64M && \
             truncate -s 140M two.raw && \
             printf 'label: gpt\\nsize=131072, name=current\\nsize=131072, name=rollback\\n' | \
             sfdisk -q two.raw && dd if=c.fs of=two.raw bs=1M seek=1 conv=notrunc status=none && \
             dd if=r.fs of=two.raw bs=1M seek=65 conv=notrunc status=none",
            vpn1.display()
        ),
        dir,
    );
    (dir.join("two.raw"), dir.join("9.1R9.sha256"))
}

#[test]
fn a_web_shell_that_waits_in_the_rollback_installation_is_found() {
    if !has("mke2fs") || !has("sfdisk") {
        return;
    }
    let appliance = Appliance::new();
    let (disk, older) = disk(&appliance);
    let older = older.to_str().unwrap().to_owned();

    let with = check(disk.to_str().unwrap(), &appliance.manifest(), &["--manifest", &older]);
    let coverage = records(&with, "coverage");
    let generations = coverage[0]["generations"].as_array().unwrap();
    let shown: Vec<String> = generations
        .iter()
        .map(|one| format!("{} {} {}", one["name"], one["folder"], one["version"]).replace('"', ""))
        .collect();
    assert_eq!(shown, ["current / 9.1R10", "rollback /@p2-rollback 9.1R9"]);
    assert!(generations.iter().all(|one| one["vouched"].as_u64().unwrap() > 200), "{generations:?}");
    let found = records(&with, "finding");
    let waiting = found.iter().find(|finding| finding["code"] == "file-added").unwrap();
    assert_eq!(waiting["path"], "/@p2-rollback/home/webserver/htdocs/dana-na/auth/waiting.cgi");
    let weighty = found.iter().filter(|finding| finding["severity"] != "info").count();
    assert_eq!(weighty, 1, "{found:?}");

    // Without its manifest the installation is a required gap, not silence.
    let without = check(disk.to_str().unwrap(), &appliance.manifest(), &[]);
    let gaps = records(&without, "gap");
    let missing = gaps.iter().find(|gap| gap["code"] == "manifest-missing").unwrap();
    assert_eq!((&missing["place"], &missing["required"]), (&"generation rollback".into(), &true.into()));
    assert_eq!(without.status.code(), Some(3));
}

#[test]
fn an_upgrade_that_only_changed_the_version_file_is_told() {
    let appliance = Appliance::new();
    let root = appliance.path().join("lab/evidence/vpn1");
    let dir = appliance.path();
    // The manifests of both versions are at hand; the disk still has the old files.
    shell(
        &format!(
            "(echo '# version: 9.1R10'; cat {}) > old && (echo '# version: 9.1R11'; \
             sed 's/ [0-9a-f]\\{{8\\}}/ 00000000/' {0}) > new && \
             sed -i 's/DSREL_COMMENT=.*/DSREL_COMMENT=\"R11\"/' {1}/home/VERSION",
            appliance.manifest().display(),
            root.display()
        ),
        dir,
    );
    let old = dir.join("old").to_str().unwrap().to_owned();
    let output = check(root.to_str().unwrap(), &dir.join("new"), &["--manifest", &old]);
    let found = records(&output, "finding");
    let told = found.iter().find(|finding| finding["code"] == "version-disagrees").unwrap();
    assert!(told["why"].as_str().unwrap().contains("are those of version 9.1R10"), "{told}");
    // With the old manifest alone, it vouches for what calls itself new.
    let output = check(root.to_str().unwrap(), &dir.join("old"), &[]);
    let found = records(&output, "finding");
    assert!(found.iter().any(|finding| finding["code"] == "version-disagrees"), "{found:?}");
}

#[test]
fn files_under_a_mount_are_told_and_what_is_mounted_stands_in_its_place() {
    if !has("mke2fs") || !has("sfdisk") {
        return;
    }
    let appliance = Appliance::new();
    let dir = appliance.path();
    shell(
        &format!(
            "cp -a {} root && cp -a root/data mounted && rm -rf root/data/* && echo hidden > root/data/tool && \
             printf '/dev/sda1 / ext4 defaults 0 1\\nLABEL=data /data ext4 defaults 0 2\\n' > root/etc/fstab && \
             mke2fs -q -t ext4 -d root r.fs 64M && mke2fs -q -t ext4 -L data -d mounted d.fs 32M && \
             truncate -s 120M two.raw && printf 'label: dos\\nsize=131072\\nsize=65536\\n' | sfdisk -q two.raw && \
             dd if=r.fs of=two.raw bs=1M seek=1 conv=notrunc status=none && \
             dd if=d.fs of=two.raw bs=1M seek=65 conv=notrunc status=none",
            appliance.path().join("lab/evidence/vpn1").display()
        ),
        dir,
    );
    let output = check(dir.join("two.raw").to_str().unwrap(), &appliance.manifest(), &[]);
    let gaps = records(&output, "gap");
    let covers = gaps.iter().find(|gap| gap["code"] == "mount-covers").unwrap();
    assert_eq!(covers["path"], "/data");
    let coverage = records(&output, "coverage");
    let folders: Vec<&str> =
        coverage[0]["by_folder"].as_array().unwrap().iter().filter_map(|one| one["folder"].as_str()).collect();
    assert!(folders.contains(&"/data") && !folders.iter().any(|folder| folder.starts_with("/@")), "{folders:?}");
}

#[test]
fn an_encrypted_disk_opens_with_its_key_and_is_a_gap_without() {
    if !has("mke2fs") || !has("qemu-img") {
        return;
    }
    let appliance = Appliance::new();
    let dir = appliance.path();
    shell(
        &format!(
            "mke2fs -q -t ext4 -d {} fs 64M && printf secret > key && printf other > wrong && \
             qemu-img convert -f raw -O luks --object secret,id=s,file=key -o key-secret=s,iter-time=10 fs disk.img",
            appliance.root().display()
        ),
        dir,
    );
    let (disk, key, wrong) = (dir.join("disk.img"), dir.join("key"), dir.join("wrong"));
    let open = |key: &PathBuf| {
        let key = key.to_str().unwrap().to_owned();
        check(disk.to_str().unwrap(), &appliance.manifest(), &["--key-file", &key])
    };
    let folder = check(appliance.root().to_str().unwrap(), &appliance.manifest(), &[]);
    assert_eq!(records(&open(&key), "finding"), records(&folder, "finding"));
    for output in [open(&wrong), check(disk.to_str().unwrap(), &appliance.manifest(), &[])] {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("key"), "{said}");
    }
}
