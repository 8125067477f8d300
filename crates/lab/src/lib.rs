//! What does a response look like, before there is an emergency?
//!
//! An exercise: three synthetic instances of the ED 21-03 product in a folder and on loopback, with
//! a scope file that is used exactly like a real one. `vpn1` shows nothing, `vpn2` has a changed
//! sign-in CGI and an added file that looks like a web shell, `vpn3` answers on the network, belongs
//! to a third party and gives no evidence.
//!
//! No room imports this crate or knows that it is in a lab. Everything here is synthetic: no
//! malware, no vendor file, nothing that can run. The same files every time, byte by byte; only the
//! loopback addresses and the port differ.

mod appliance;
mod front;
mod logs;
mod scope;
mod tree;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use self::front::Fronts;

/// The version of the instances `vpn1` and `vpn2`.
pub const VERSION: &str = "9.1R10";

/// When the intruder of `vpn2` came, in seconds since 1970.
pub const FIRST_SIGN: u64 = logs::FIRST_SIGN;

/// Accounts of `vpn2` that logged in after the intruder came, `server\\user`, sorted by user.
pub fn passed_through() -> Vec<String> {
    let intruded = (appliance::INTRUDED - 1_612_137_600) / 86_400;
    let people =
        logs::PEOPLE.iter().filter(|(_, _, until)| *until > intruded).map(|(user, server, _)| (*server, *user));
    let mut all: Vec<_> = people.chain([(logs::ADMIN.1, logs::ADMIN.0)]).collect();
    all.sort_by_key(|(_, user)| *user);
    all.into_iter().map(|(server, user)| format!("{server}\\{user}")).collect()
}

/// A lab that runs until it is dropped. Its folder stays.
#[derive(Debug)]
pub struct Lab {
    dir: PathBuf,
    fronts: Fronts,
}

/// Why a lab cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the lab cannot be written.
    #[error("cannot write {path:?} of the lab")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No loopback network has the same port free on three addresses.
    #[error("no port is free on three loopback addresses")]
    Bind {
        /// What the operating system said last.
        source: io::Error,
    },
    /// A certificate cannot be made.
    #[error("cannot make a self-signed certificate")]
    Certificate {
        /// Why.
        source: rcgen::Error,
    },
    /// A certificate cannot be served.
    #[error("cannot serve a self-signed certificate")]
    Tls {
        /// Why.
        source: rustls::Error,
    },
    /// The servers cannot run.
    #[error("cannot start the servers of the lab")]
    Start {
        /// What the operating system said.
        source: io::Error,
    },
}

impl Lab {
    /// Builds the lab in `dir`, which is made if it is missing, and starts its servers.
    ///
    /// Makes `scope.toml`, `evidence/vpn1`, `evidence/vpn2` and `manifests/9.1R10.manifest`. Files of
    /// an earlier lab in the same folder are replaced.
    ///
    /// # Errors
    ///
    /// The folder cannot be written, or loopback offers no port.
    pub fn build(dir: &Path) -> Result<Self, Error> {
        let shipped = appliance::shipped();
        tree::write(&dir.join("evidence/vpn1"), &appliance::untouched(&shipped))?;
        tree::write(&dir.join("evidence/vpn2"), &appliance::intruded(&shipped))?;
        let manifest = appliance::manifest(shipped.iter().chain([&appliance::on_box_manifest(&shipped)]));
        tree::write_file(&dir.join("manifests").join(format!("{VERSION}.manifest")), manifest.as_bytes())?;
        let fronts = Fronts::start()?;
        tree::write_file(&dir.join("scope.toml"), scope::text(fronts.addresses()).as_bytes())?;
        Ok(Self { dir: dir.to_owned(), fronts })
    }

    /// The scope file, to be used like any other.
    pub fn scope_file(&self) -> PathBuf {
        self.dir.join("scope.toml")
    }

    /// The folder of the lab.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where `vpn1`, `vpn2` and `vpn3` answer.
    pub fn addresses(&self) -> [SocketAddr; 3] {
        self.fronts.addresses()
    }
}
