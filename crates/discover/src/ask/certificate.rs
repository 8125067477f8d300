//! Certificate: which names does a certificate claim?
//!
//! A certificate is read, never trusted: whoever made it could write anything into it. The names
//! are written in the order that Recog expects: from the narrow to the wide, whatever their order
//! in the certificate.
//! Source: RFC 2253 section 2.4 (escaping); the note at the head of Recog's `x509_subjects.xml`.

use std::collections::BTreeSet;

use directive::record::hex;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_X509_COMMON_NAME, OID_X509_COUNTRY_NAME, OID_X509_LOCALITY_NAME, OID_X509_ORGANIZATION_NAME,
    OID_X509_ORGANIZATIONAL_UNIT, OID_X509_POSTAL_CODE, OID_X509_SERIALNUMBER, OID_X509_STATE_OR_PROVINCE_NAME,
    OID_X509_STREET_ADDRESS, Oid,
};
use x509_parser::parse_x509_certificate;
use x509_parser::x509::X509Name;

/// Characters of a name that are kept; real ones have some hundred.
const LONGEST: usize = 4096;

/// The names of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// `CN=vpn.example.gov,OU=Networks,O=Example Agency,C=US`.
    pub(crate) subject: String,
    /// The same for the issuer.
    pub(crate) issuer: String,
    /// SHA-256 of the public key with its algorithm, in hex.
    pub(crate) key: String,
    /// Host names that it is for, in lower case: those of the extension, and the common name.
    pub(crate) names: BTreeSet<String>,
}

impl Certificate {
    /// Reads the names; `None` if it is no certificate.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(der).ok()?;
        Some(Self {
            subject: written(certificate.subject()),
            issuer: written(certificate.issuer()),
            key: hex(&Sha256::digest(certificate.public_key().raw)),
            names: names(&certificate),
        })
    }
}

/// Names that are kept: a hosting provider's certificate has a hundred.
const MOST: usize = 100;

/// The host names of a certificate.
fn names(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.into_iter().flat_map(|names| &names.value.general_names);
    let dns = alternative.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok().map(str::to_owned));
    let all = dns.chain(common).filter(|name| !name.is_empty() && name.len() <= 253);
    all.take(MOST).map(|name| name.to_ascii_lowercase()).collect()
}

const ORDER: [(&str, Oid<'static>); 9] = [
    ("SERIALNUMBER", OID_X509_SERIALNUMBER),
    ("CN", OID_X509_COMMON_NAME),
    ("OU", OID_X509_ORGANIZATIONAL_UNIT),
    ("O", OID_X509_ORGANIZATION_NAME),
    ("POSTALCODE", OID_X509_POSTAL_CODE),
    ("STREET", OID_X509_STREET_ADDRESS),
    ("L", OID_X509_LOCALITY_NAME),
    ("ST", OID_X509_STATE_OR_PROVINCE_NAME),
    ("C", OID_X509_COUNTRY_NAME),
];

fn written(name: &X509Name<'_>) -> String {
    let mut parts = Vec::new();
    for (short, oid) in &ORDER {
        let values: Vec<_> = name
            .iter_by_oid(oid)
            .map(|attribute| format!("{short}={}", escaped(&String::from_utf8_lossy(attribute.as_slice()))))
            .collect();
        if !values.is_empty() {
            // Several values of one kind belong together.
            parts.push(values.join("+"));
        }
    }
    parts.join(",").chars().take(LONGEST).collect()
}

fn escaped(value: &str) -> String {
    let mut out = String::new();
    let last = value.chars().count().saturating_sub(1);
    for (n, c) in value.chars().enumerate() {
        let at_edge = c == ' ' && (n == 0 || n == last) || c == '#' && n == 0;
        if at_edge || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    #[track_caller]
    fn check(names: &[(DnType, &str)], expected: &str) {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = Certificate::read(made.der()).unwrap();
        assert_eq!((read.subject.as_str(), &read.subject), (expected, &read.issuer));
    }

    #[test]
    fn names_go_from_the_narrow_to_the_wide() {
        use DnType::{CommonName, CountryName, OrganizationName};
        check(&[(CountryName, "US"), (OrganizationName, "A, Inc."), (CommonName, "gate")], "CN=gate,O=A\\, Inc.,C=US");
        check(&[(CommonName, "gate"), (CountryName, "US")], "CN=gate,C=US");
    }

    #[test]
    fn a_name_of_a_megabyte_is_cut() {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "x".repeat(1 << 20));
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(Certificate::read(made.der()).unwrap().subject.len(), LONGEST);
    }

    #[test]
    fn garbage_is_no_certificate() {
        assert_eq!(Certificate::read(b"\x30\x82\xff\xff garbage"), None);
        assert_eq!(Certificate::read(b""), None);
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(der: Vec<u8>) {
            let _ = Certificate::read(&der);
        }
    }
}
