//! Did the update really happen?
//!
//! Devices were reported as patched and ran the old build; an intruder showed thirteen steps of an upgrade that never
//! happened. [`prove`](prove::prove) holds what a case knows of an instance against what somebody says was installed: a
//! version string alone proves nothing, two witnesses that do not stand on the instance's own word do, and one that
//! contradicts refutes. It judges records, so that every answer can be given again from the case.
//! Source: ED 21-03 action 3; facts on faked upgrades (PHASEJAM, 2025) and on updates that were not read back.

pub mod apt;
pub mod dnf;
pub mod install;
pub mod prove;
mod unpack;
pub mod verify;
mod witness;
