//! Shape: which properties does a VEX document have?
//!
//! The part of CSAF 2.0 that a report fills, in the order of names, as its optional test 6.2.13 asks. The crates that
//! have all of it are generated, take minutes to build, and are made to read what others wrote.
//! Source: CSAF 2.0 (OASIS), 3.2.

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Whole {
    pub(super) document: Document,
    pub(super) product_tree: ProductTree,
    pub(super) vulnerabilities: Vec<Vulnerability>,
}

#[derive(Debug, Serialize)]
pub(super) struct Document {
    pub(super) category: &'static str,
    pub(super) csaf_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) distribution: Option<Distribution>,
    pub(super) lang: &'static str,
    pub(super) notes: Vec<Note>,
    pub(super) publisher: Publisher,
    pub(super) title: String,
    pub(super) tracking: Tracking,
}

#[derive(Debug, Serialize)]
pub(super) struct Distribution {
    pub(super) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tlp: Option<TlpLabel>,
}

#[derive(Debug, Serialize)]
pub(super) struct TlpLabel {
    pub(super) label: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Note {
    pub(super) category: &'static str,
    pub(super) text: String,
    pub(super) title: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Publisher {
    pub(super) category: &'static str,
    pub(super) name: String,
    pub(super) namespace: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Tracking {
    pub(super) current_release_date: String,
    pub(super) generator: Generator,
    pub(super) id: String,
    pub(super) initial_release_date: String,
    pub(super) revision_history: Vec<Revision>,
    pub(super) status: &'static str,
    pub(super) version: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Generator {
    pub(super) engine: Engine,
}

#[derive(Debug, Serialize)]
pub(super) struct Engine {
    pub(super) name: String,
    pub(super) version: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Revision {
    pub(super) date: String,
    pub(super) number: String,
    pub(super) summary: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ProductTree {
    pub(super) branches: Vec<Branch>,
}

#[derive(Debug, Serialize)]
pub(super) struct Branch {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    branches: Vec<Branch>,
    category: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<Product>,
}

impl Branch {
    pub(super) fn inner(category: &'static str, name: String, branches: Vec<Branch>) -> Self {
        Self { category, name, branches, product: None }
    }

    pub(super) fn leaf(category: &'static str, name: String, product: Product) -> Self {
        Self { category, name, branches: Vec::new(), product: Some(product) }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Product {
    pub(super) name: String,
    pub(super) product_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) product_identification_helper: Option<Helper>,
}

#[derive(Debug, Serialize)]
pub(super) struct Helper {
    pub(super) cpe: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Vulnerability {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cve: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) flags: Vec<Flag>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ids: Vec<Id>,
    pub(super) notes: Vec<Note>,
    pub(super) product_status: ProductStatus,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) remediations: Vec<Remediation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) threats: Vec<Threat>,
}

#[derive(Debug, Serialize)]
pub(super) struct Flag {
    pub(super) label: &'static str,
    pub(super) product_ids: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Id {
    pub(super) system_name: String,
    pub(super) text: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ProductStatus {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) fixed: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) known_affected: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) known_not_affected: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) under_investigation: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Remediation {
    pub(super) category: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) date: Option<String>,
    pub(super) details: String,
    pub(super) product_ids: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Threat {
    pub(super) category: &'static str,
    pub(super) details: String,
    pub(super) product_ids: Vec<String>,
}
