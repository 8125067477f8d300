//! KEV: what does the catalogue of known exploited vulnerabilities say of one of them?
//!
//! Source: Cybersecurity and Infrastructure Security Agency, Known Exploited Vulnerabilities Catalog, JSON schema of
//! 25 August 2025. Seven entries of that day have a due date before the day on which they were added.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;

/// The largest catalogue that is read, in bytes. The one of August 2025 has 1.2 MB.
pub const LARGEST: usize = 64 << 20;

/// The catalogue, as far as we read it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Catalogue {
    /// When it was released.
    #[serde(default)]
    pub date_released: Option<Timestamp>,
    /// The entries.
    pub vulnerabilities: Vec<Entry>,
}

/// One vulnerability that is exploited.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// `CVE-2021-22893`.
    #[serde(rename = "cveID")]
    pub cve: String,
    /// Who makes the product.
    pub vendor_project: String,
    /// The product.
    pub product: String,
    /// What the catalogue calls the vulnerability.
    pub vulnerability_name: String,
    /// When it was added.
    pub date_added: Date,
    /// What it allows.
    #[serde(default)]
    pub short_description: String,
    /// What has to be done.
    #[serde(default)]
    pub required_action: String,
    /// Until when, for those who are bound by it.
    pub due_date: Date,
    /// Sources, and exceptions to the due date.
    #[serde(default)]
    pub notes: String,
}

impl Entry {
    /// Whether it was due before it was added: the date of an older order stands in it.
    pub fn is_due_before_added(&self) -> bool {
        self.due_date < self.date_added
    }
}

/// Reads a catalogue.
///
/// # Errors
///
/// What is wrong with it, with line and column.
pub fn parse(bytes: &[u8]) -> Result<Catalogue, String> {
    if bytes.len() > LARGEST {
        return Err(format!("it has more than {} MiB", LARGEST >> 20));
    }
    serde_json::from_slice(bytes).map_err(|err| err.to_string())
}

impl Catalogue {
    /// The entry of a vulnerability.
    pub fn find(&self, cve: &str) -> Option<&Entry> {
        self.vulnerabilities.iter().find(|entry| entry.cve.eq_ignore_ascii_case(cve))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CATALOGUE: &str = r#"{"title": "CISA Catalog", "vulnerabilities": [
        {"cveID": "CVE-2021-22893", "vendorProject": "Ivanti", "product": "Pulse Connect Secure",
         "vulnerabilityName": "Ivanti Pulse Connect Secure Use-After-Free Vulnerability", "dateAdded": "2021-11-03",
         "shortDescription": "..", "requiredAction": "Apply updates per vendor instructions.", "dueDate": "2021-04-23",
         "knownRansomwareCampaignUse": "Known", "notes": "", "cwes": ["CWE-287"]}]}"#;

    #[test]
    fn a_due_date_before_the_day_of_its_addition_is_told() {
        let catalogue = parse(CATALOGUE.as_bytes()).unwrap();
        let entry = catalogue.find("cve-2021-22893").unwrap();
        assert!(entry.is_due_before_added());
        assert!(catalogue.find("CVE-1999-0001").is_none());
    }

    #[test]
    fn what_is_no_catalogue_is_refused_with_its_place() {
        assert!(parse(b"{}").unwrap_err().contains("missing field `vulnerabilities`"));
        let cut = &CATALOGUE.as_bytes()[..200];
        assert!(parse(cut).unwrap_err().contains("line"), "{:?}", parse(cut));
    }
}
