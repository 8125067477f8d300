//! Raw: what does a scope file look like before it is checked?

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Deserialize;
use toml::Spanned;

use crate::record::Owner;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Raw {
    pub(super) organisation: Spanned<String>,
    pub(super) contact: Option<String>,
    #[serde(default)]
    pub(super) networks: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) exclude: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) ports: Vec<u16>,
    #[serde(default)]
    pub(super) udp_ports: Vec<u16>,
    #[serde(default)]
    pub(super) apart: Vec<super::apart::Raw>,
    pub(super) rate: Option<NonZeroU32>,
    #[serde(default)]
    pub(super) import: Vec<String>,
    #[serde(default)]
    pub(super) recog: Vec<String>,
    #[serde(default)]
    pub(super) vantage: Vec<Spanned<String>>,
    pub(super) geo: Option<String>,
    #[serde(default)]
    pub(super) scanner: Vec<super::scanner::Raw>,
    #[serde(default)]
    pub(super) instance: Vec<RawInstance>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawInstance {
    pub(super) name: Spanned<String>,
    pub(super) address: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) addresses: Vec<Spanned<String>>,
    pub(super) evidence: Option<Spanned<String>>,
    pub(super) manifest: Option<OneOrMany>,
    pub(super) manifest_key: Option<Spanned<String>>,
    pub(super) key_file: Option<OneOrMany>,
    pub(super) backing: Option<OneOrMany>,
    pub(super) known_hosts: Option<String>,
    pub(super) identity: Option<String>,
    pub(super) live: Option<Spanned<bool>>,
    pub(super) owner: Option<Owner>,
    #[serde(default)]
    pub(super) facts: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}
