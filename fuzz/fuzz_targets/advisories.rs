//! Advisories: can a provider's list, metadata or document make its reader panic, or name a file outside his folder?

#![no_main]

use csaf::list::{self, List};
use csaf::metadata::Metadata;
use directive::advisory;
use directive::kev;
use directive::notice::{Origin, read};
use directive::product::Product;
use libfuzzer_sys::fuzz_target;

const PRODUCT: &str = "name = \"Pulse Connect Secure\"\nvendor = \"Pulse Secure\"\n\
                       cpe = [\"cpe:2.3:a:pulsesecure:pulse_connect_secure:*:*:*:*:*:*:*:*\"]\n";

fn holds(list: &List, folder: Option<&str>) {
    for entry in &list.entries {
        assert!(entry.at.path().split('/').all(|piece| !piece.is_empty() && piece != "." && piece != ".."));
        assert!(folder.is_none_or(|folder| entry.at.to_string().starts_with(folder)));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let _ = Metadata::parse(bytes);
    let _ = kev::parse(bytes);
    if let Ok(list) = list::rolie(bytes) {
        holds(&list, None);
    }
    let folder = "https://e.example/white/";
    holds(&list::changes(folder, bytes), Some(folder));
    holds(&list::index(folder, bytes), Some(folder));
    let (Ok(advisory), Ok(product)) = (advisory::parse(bytes), toml::from_str::<Product>(PRODUCT)) else { return };
    let origin = Origin {
        provider: String::new(),
        url: String::new(),
        listed: None,
        sha256: String::new(),
        signed_by: String::new(),
        signed: jiff::Timestamp::UNIX_EPOCH,
    };
    if let Some(notice) = read(&advisory, &product, origin, &[]) {
        assert!(notice.affected.len() <= 1024 && notice.fixed.len() <= 1024 && notice.undecided.len() <= 1024);
    }
});
