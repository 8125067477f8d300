//! Maker: a provider of advisories as a vendor would be one, with a key of a real `gpg`.
//!
//! Documents, digests, signatures, a feed and a folder lie in one folder, which is a stick as it is, and a server's
//! once nginx serves it.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

/// Where the provider says that he is, unless a server of the test is named.
pub(crate) const HOME: &str = "https://psirt.example/csaf";

const SCHEMA: &str = "https://docs.oasis-open.org/csaf/csaf/v2.0/csaf_json_schema.json";

/// A home of gpg with one key, made in 2020.
pub(crate) struct Signer {
    dir: tempfile::TempDir,
    pub(crate) print: String,
}

impl Signer {
    pub(crate) fn new(lasts: &str) -> Self {
        let mut signer = Self { dir: tempfile::tempdir().unwrap(), print: String::new() };
        let user = "Vendor <psirt@psirt.example>";
        signer.gpg("20200101T000000", &["--quick-generate-key", user, "ed25519", "sign", lasts]);
        let listed = signer.gpg("20200101T000000", &["--list-keys", "--with-colons"]);
        let listed = String::from_utf8(listed.stdout).unwrap();
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        signer.print = line.split(':').nth(9).unwrap().to_owned();
        signer
    }

    #[track_caller]
    pub(crate) fn gpg(&self, day: &str, arguments: &[&str]) -> Output {
        let common = ["--batch", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""];
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", self.dir.path()).args(common).args([&format!("--faked-system-time={day}!")]);
        let done = gpg.arg("--ignore-time-conflict").args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        done
    }

    pub(crate) fn public(&self) -> Vec<u8> {
        self.gpg("20210601T000000", &["--armor", "--export"]).stdout
    }

    pub(crate) fn sign(&self, day: &str, file: &Path) {
        let out = format!("{}.asc", file.display());
        self.gpg(day, &["--armor", "--output", &out, "--detach-sign", file.to_str().unwrap()]);
    }

    /// Takes the key back, as its owner does.
    pub(crate) fn revoke(&self, day: &str) {
        let made = self.dir.path().join("openpgp-revocs.d").join(format!("{}.rev", self.print));
        // The line is marked so that nobody uses it by mistake.
        let text = fs::read_to_string(made).unwrap().replace(":-----BEGIN", "-----BEGIN");
        let file = self.dir.path().join("revocation");
        fs::write(&file, text).unwrap();
        self.gpg(day, &["--import", file.to_str().unwrap()]);
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        // The agent of this home would outlive it.
        let _ = Command::new("gpgconf").env("GNUPGHOME", self.dir.path()).args(["--kill", "all"]).output();
    }
}

/// What an advisory says.
#[derive(Clone)]
pub(crate) struct Said<'a> {
    pub(crate) id: &'a str,
    pub(crate) version: u32,
    pub(crate) cve: &'a str,
    pub(crate) vendor: &'a str,
    pub(crate) product: &'a str,
    pub(crate) cpe: Option<&'a str>,
    pub(crate) affected: &'a str,
    pub(crate) fixed: Option<&'a str>,
    /// When the fix was released.
    pub(crate) released: &'a str,
    /// When this version of the document was.
    pub(crate) updated: &'a str,
}

/// The first of a row of advisories on one product.
pub(crate) const FIRST: Said<'static> = Said {
    id: "SA44858",
    version: 1,
    cve: "CVE-2021-22937",
    vendor: "Pulse Secure",
    product: "Pulse Connect Secure",
    cpe: Some("cpe:2.3:a:pulsesecure:pulse_connect_secure:*:*:*:*:*:*:*:*"),
    affected: "vers:generic/<9.1R12",
    fixed: Some("9.1R12"),
    released: "2021-08-02T16:00:00.000Z",
    updated: "2021-08-02T16:00:00.000Z",
};

impl Said<'_> {
    pub(crate) fn file(&self) -> String {
        format!("{}.json", self.id.to_lowercase())
    }

    /// The document, as the standard wants it.
    pub(crate) fn document(&self, home: &str) -> Value {
        let helper = |mut product: Value| {
            if let Some(cpe) = self.cpe {
                product["product_identification_helper"] = json!({ "cpe": cpe });
            }
            product
        };
        let name = |what: &str| format!("{} {what}", self.product);
        let mut below = vec![json!({"category": "product_version_range", "name": self.affected, "product":
            helper(json!({"name": name(self.affected), "product_id": "affected"}))})];
        let mut status = json!({"known_affected": ["affected"]});
        let mut remedy = json!({"category": "none_available", "details": "There is no update yet.",
            "product_ids": ["affected"]});
        if let Some(fixed) = self.fixed {
            below.push(json!({"category": "product_version", "name": fixed, "product":
                helper(json!({"name": name(fixed), "product_id": "fixed"}))}));
            status = json!({"fixed": ["fixed"], "known_affected": ["affected"]});
            remedy = json!({"category": "vendor_fix", "date": self.released, "details": format!("Update to {fixed}."),
                "product_ids": ["affected"]});
        }
        let history: Vec<Value> = (1..=self.version)
            .map(|n| json!({"date": self.updated, "number": n.to_string(), "summary": "published"}))
            .collect();
        json!({
            "document": {
                "category": "csaf_security_advisory",
                "csaf_version": "2.0",
                "distribution": {"tlp": {"label": "WHITE"}},
                "lang": "en",
                "notes": [{"category": "summary", "text": "What was found, and what to do.", "title": "Summary"}],
                "publisher": {"category": "vendor", "name": "Example PSIRT", "namespace": "https://psirt.example"},
                "references": [{"category": "self", "summary": "This document",
                    "url": format!("{home}/white/2021/{}", self.file())}],
                "title": format!("Vulnerability of {}", self.product),
                "tracking": {
                    "current_release_date": self.updated,
                    "id": self.id,
                    "initial_release_date": self.updated,
                    "revision_history": history,
                    "status": "final",
                    "version": self.version.to_string(),
                },
            },
            "product_tree": {"branches": [{"branches": [
                {"branches": below, "category": "product_name", "name": self.product}],
                "category": "vendor", "name": self.vendor}]},
            "vulnerabilities": [{
                "cve": self.cve,
                "notes": [{"category": "description", "text": "It is open.", "title": "Description"}],
                "product_status": status,
                "remediations": [remedy],
            }],
        })
    }
}

/// A provider's files.
pub(crate) struct Provider {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) signer: Signer,
    pub(crate) home: String,
    listed: Vec<(String, String)>,
}

impl Provider {
    pub(crate) fn new(home: &str) -> Self {
        Self::signed_by(home, Signer::new("never"))
    }

    pub(crate) fn signed_by(home: &str, signer: Signer) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("white/2021")).unwrap();
        let provider = Self { dir, signer, home: home.to_owned(), listed: Vec::new() };
        provider.metadata(&[&format!("{home}/white/feed.json")], &[]);
        provider.list();
        fs::write(provider.path("keys.asc"), provider.signer.public()).unwrap();
        provider
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn metadata(&self, feeds: &[&str], folders: &[&str]) {
        let feed = |url: &&str| json!({"url": url, "tlp_label": "WHITE", "summary": "All advisories"});
        let mut distributions: Vec<Value> = folders.iter().map(|url| json!({ "directory_url": url })).collect();
        distributions.extend(
            (!feeds.is_empty()).then(|| json!({"rolie": {"feeds": feeds.iter().map(feed).collect::<Vec<_>>()}})),
        );
        let text = json!({
            "canonical_url": format!("{}/provider-metadata.json", self.home),
            "distributions": distributions,
            "last_updated": "2021-08-02T16:00:00Z",
            "list_on_CSAF_aggregators": true,
            "metadata_version": "2.0",
            "mirror_on_CSAF_aggregators": true,
            "public_openpgp_keys": [{"fingerprint": self.signer.print, "url": format!("{}/keys.asc", self.home)}],
            "publisher": {"category": "vendor", "name": "Example PSIRT", "namespace": "https://psirt.example"},
            "role": "csaf_trusted_provider",
        });
        fs::write(self.path("provider-metadata.json"), text.to_string()).unwrap();
    }

    /// Publishes a document, signed as it is, and lists it.
    pub(crate) fn publish(&mut self, said: &Said<'_>) -> PathBuf {
        self.publish_bytes(&said.file(), said.document(&self.home).to_string().as_bytes(), said.updated)
    }

    pub(crate) fn publish_bytes(&mut self, file: &str, bytes: &[u8], updated: &str) -> PathBuf {
        let path = self.path("white/2021").join(file);
        fs::write(&path, bytes).unwrap();
        self.seal(&path);
        let day = updated.replace(['-', ':'], "").replace(".000Z", "");
        self.signer.sign(&day, &path);
        self.listed.retain(|(name, _)| name != file);
        self.listed.push((file.to_owned(), updated.to_owned()));
        self.list();
        path
    }

    /// Puts the digests of a file beside it.
    pub(crate) fn seal(&self, path: &Path) {
        let bytes = fs::read(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let digits = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for (ending, digest) in
            [("sha256", digits(&Sha256::digest(&bytes))), ("sha512", digits(&Sha512::digest(&bytes)))]
        {
            fs::write(format!("{}.{ending}", path.display()), format!("{digest}  {name}\n")).unwrap();
        }
    }

    /// Leaves a document out of the lists, or dates it otherwise.
    pub(crate) fn relist(&mut self, file: &str, updated: Option<&str>) {
        self.listed.retain(|(name, _)| name != file);
        self.listed.extend(updated.map(|updated| (file.to_owned(), updated.to_owned())));
        self.list();
    }

    /// Writes the feed and the two lists of the folder.
    fn list(&self) {
        let at = |file: &str| format!("{}/white/2021/{file}", self.home);
        let link = |rel: &str, file: &str, ending: &str| json!({"rel": rel, "href": format!("{}{ending}", at(file))});
        let entry = |(file, updated): &(String, String)| {
            json!({"id": file, "title": file, "published": updated, "updated": updated,
                "content": {"type": "application/json", "src": at(file)},
                "format": {"schema": SCHEMA, "version": "2.0"},
                "link": [link("self", file, ""), link("hash", file, ".sha256"), link("hash", file, ".sha512"),
                    link("signature", file, ".asc")]})
        };
        let entries: Vec<Value> = self.listed.iter().map(entry).collect();
        let feed = json!({"feed": {"id": "all", "title": "All advisories", "updated": "2021-08-02T16:00:00Z",
            "link": [{"rel": "self", "href": format!("{}/white/feed.json", self.home)}],
            "category": [{"scheme": "urn:ietf:params:rolie:category:information-type", "term": "csaf"}],
            "entry": entries}});
        fs::write(self.path("white/feed.json"), feed.to_string()).unwrap();
        let mut changes = fs::File::create(self.path("white/changes.csv")).unwrap();
        let mut index = fs::File::create(self.path("white/index.txt")).unwrap();
        for (file, updated) in &self.listed {
            writeln!(changes, "\"2021/{file}\",\"{updated}\"").unwrap();
            writeln!(index, "2021/{file}").unwrap();
        }
    }
}

/// A real nginx on loopback that serves a folder; it ends when it is dropped.
pub(crate) struct Server {
    dir: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Server {
    /// `more` is put into its site: redirections, or a second port with TLS.
    pub(crate) fn start(folder: &Path, port: u16, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("    {kind}_temp_path {at}/{kind};\n"))
            .concat();
        let text = format!(
            "worker_processes 1;\npid {at}/nginx.pid;\nerror_log {at}/error.log;\n\
             events {{ worker_connections 256; }}\nhttp {{\n    access_log off;\n{temporary}    server {{\n        \
             listen 127.0.0.1:{port};\n        {more}\n        location / {{ root {}; }}\n    }}\n}}\n",
            folder.display()
        );
        fs::write(dir.path().join("nginx.conf"), text).unwrap();
        let server = Self { dir, port };
        // Workers of nginx run as somebody else, who has to reach the files.
        Command::new("chmod").args(["-R", "a+rX"]).arg(folder).status().unwrap();
        // It listens before it goes to the background.
        server.nginx(&[]);
        server
    }

    fn nginx(&self, more: &[&str]) {
        let config = self.dir.path().join("nginx.conf");
        let done = Command::new("nginx").args(["-c", config.to_str().unwrap()]).args(more).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let config = self.dir.path().join("nginx.conf");
        let _ = Command::new("nginx").arg("-c").arg(config).args(["-s", "stop"]).output();
    }
}

/// A port that is free now.
pub(crate) fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
