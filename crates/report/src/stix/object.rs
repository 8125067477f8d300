//! Object: which shape has each object of a bundle?
//!
//! The few types that a report needs, with the properties that it fills.
//! Source: STIX 2.1, 3.1 (common properties), 4 and 5 (objects and relationships), 2.9 (identifiers).

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::Properties;

/// The namespace of ids that Portcullis makes: UUIDv5 of this name among names of DNS (RFC 9562).
const OURS: &[u8] = b"stix.portcullis.invalid";

/// One object. Observables have no `created` and no `modified`.
#[derive(Debug, Serialize)]
pub(super) struct Object {
    r#type: &'static str,
    spec_version: &'static str,
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) modified: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created_by_ref: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) object_marking_refs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) labels: Vec<&'static str>,
    #[serde(flatten)]
    body: Body,
}

/// What an object says beyond the common properties.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Body {
    Identity {
        name: String,
        identity_class: &'static str,
    },
    Infrastructure {
        name: String,
        description: String,
    },
    Vulnerability {
        name: String,
        external_references: Vec<External>,
    },
    ObservedData {
        first_observed: String,
        last_observed: String,
        number_observed: u32,
        object_refs: Vec<String>,
    },
    Sighting {
        first_seen: String,
        last_seen: String,
        count: u32,
        sighting_of_ref: String,
        observed_data_refs: Vec<String>,
        where_sighted_refs: Vec<String>,
    },
    Indicator {
        name: String,
        description: String,
        pattern: String,
        pattern_type: &'static str,
        valid_from: String,
    },
    Relationship {
        relationship_type: &'static str,
        source_ref: String,
        target_ref: String,
    },
    Note {
        content: String,
        object_refs: Vec<String>,
    },
    Report {
        name: String,
        description: String,
        report_types: [&'static str; 1],
        published: String,
        object_refs: Vec<String>,
        external_references: Vec<External>,
    },
    Statement(Statement),
    Tlp(Label),
    Observable(Properties),
}

/// A marking in words.
#[derive(Debug, Serialize)]
pub(super) struct Statement {
    definition_type: &'static str,
    definition: StatementText,
}

#[derive(Debug, Serialize)]
struct StatementText {
    statement: String,
}

impl Statement {
    pub(super) fn new(statement: String) -> Self {
        Self { definition_type: "statement", definition: StatementText { statement } }
    }
}

/// A label of the Traffic Light Protocol.
#[derive(Debug, Serialize)]
pub(super) struct Label {
    definition_type: &'static str,
    name: String,
    definition: LabelText,
}

#[derive(Debug, Serialize)]
struct LabelText {
    tlp: &'static str,
}

/// Where something is described.
#[derive(Debug, Serialize)]
pub(super) struct External {
    pub(super) source_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
}

impl Object {
    pub(super) fn new(kind: &'static str, id: String, created: Timestamp, modified: Timestamp, body: Body) -> Self {
        let (created, modified) = (Some(moment(created)), Some(moment(modified)));
        Self { created, modified, ..Self::observable(kind, id, body) }
    }

    /// A thing that was seen, which has no times of its own.
    pub(super) fn observable(kind: &'static str, id: String, body: Body) -> Self {
        let (object_marking_refs, labels) = (Vec::new(), Vec::new());
        let (created, modified, created_by_ref) = (None, None, None);
        Self {
            r#type: kind,
            spec_version: "2.1",
            id,
            created,
            modified,
            created_by_ref,
            object_marking_refs,
            labels,
            body,
        }
    }

    /// A marking of the specification's own, to the letter. Source: STIX 2.1, 7.2.1.4.
    pub(super) fn tlp(id: &str, tlp: &'static str) -> Self {
        let name = format!("TLP:{}", tlp.to_uppercase());
        let label = Label { definition_type: "tlp", name, definition: LabelText { tlp } };
        let created = Some("2017-01-20T00:00:00.000Z".to_owned());
        Self { created, ..Self::observable("marking-definition", id.to_owned(), Body::Tlp(label)) }
    }
}

/// A time as STIX writes it, in whole milliseconds.
pub(super) fn moment(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// The id of an object of ours: the same words, the same id.
pub(super) fn own_id(kind: &str, words: &[&str]) -> String {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_DNS, OURS);
    let mut name = kind.as_bytes().to_vec();
    for word in words {
        // The length keeps two words from being read as one.
        name.extend((word.len() as u64).to_be_bytes());
        name.extend(word.as_bytes());
    }
    format!("{kind}--{}", Uuid::new_v5(&namespace, &name))
}
