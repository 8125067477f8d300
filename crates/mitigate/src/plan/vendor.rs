//! Vendor: how does the vendor's own file become a change that can be proved?
//!
//! A person imports it; nothing here talks to the instance but the proof, which asks from outside. The digest of the
//! file must be one that the pack pins, where it pins any: files of that name have been passed around.

use directive::change::{Change, Prove};
use directive::record::hex;
use directive::scope::Scope;
use sha2::{Digest as _, Sha256};

use super::{Error, Request, begin, may, proof};

/// Plans the import of the vendor's file, whose bytes the operator brings.
///
/// # Errors
///
/// [`Error`] if the pack knows no such file, or the bytes are others than those it pins.
pub fn vendor_file(request: &Request<'_>, scope: &Scope, bytes: &[u8]) -> Result<Change, Error> {
    may(request, scope)?;
    let Some(file) = &request.workaround.vendor_file else {
        return Err(Error::NoVendorFile);
    };
    let digest = hex(&Sha256::digest(bytes));
    let is_pinned = file.sha256.iter().any(|known| known.eq_ignore_ascii_case(&digest));
    if !is_pinned && !file.sha256.is_empty() {
        return Err(Error::OtherFile { name: file.name.clone(), digest });
    }
    let mut change = begin(request)?;
    change.notes.push(match is_pinned {
        true => format!("The file {} has a digest that the pack pins: {digest}.", file.name),
        false => {
            format!("Nobody has published the digest of {}; yours is {digest}. Get it from the vendor.", file.name)
        }
    });
    change.notes.push(format!("First a person imports it: {}. Then `mitigate apply` proves it.", file.import));
    change.notes.push(format!("It is taken back by hand: {}.", file.undo));
    change
        .notes
        .push("Do not push a configuration to the appliance afterwards: that has voided such a file.".to_owned());
    if !file.events.is_empty() {
        change.notes.push(format!("The appliance logs the import as {}.", file.events.join(" or ")));
    }
    // The product itself refuses, in words of its own.
    change.prove = Some(Prove { marker: None, ..proof(request) });
    Ok(change)
}
