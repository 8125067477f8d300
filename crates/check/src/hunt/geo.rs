//! Geo: where on earth is an address, as a database that the operator brings says?
//!
//! Databases in the format of MaxMind (`.mmdb`), whoever made them. Such a database says where most users of a network
//! are, and is wrong often enough.
//! Never opens a file: the database comes as bytes. It may be crafted: what cannot be read is no place, and is counted.
//! Source: MaxMind DB File Format Specification 2.0.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Timestamp;
use maxminddb::{MaxMindDbError, Reader};
use serde::Deserialize;

/// Mean radius of the earth, in kilometres.
const EARTH: f64 = 6_371.0;

/// Letters of a code of a country.
const CODE: usize = 3;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is damaged, cut short or something else.
    #[error("it is no database of addresses in the format of MaxMind (`.mmdb`)")]
    Format {
        /// What is wrong.
        #[from]
        source: MaxMindDbError,
    },
    /// The reader of the format failed.
    #[error("the reader of the format stumbled over it")]
    Stumbled,
}

/// A database of where addresses are.
#[derive(Debug)]
pub struct Geo {
    reader: Reader<Vec<u8>>,
}

/// Where an address is said to be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// Two letters, most often.
    pub(crate) country: Option<String>,
    pub(crate) spot: Option<Spot>,
}

/// A place on the globe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spot {
    latitude: f64,
    longitude: f64,
    /// Kilometres around it in which the address may be.
    within: f64,
}

impl Geo {
    /// Reads a database.
    ///
    /// # Errors
    ///
    /// [`Error`] if it is none.
    pub fn read(bytes: Vec<u8>) -> Result<Self, Error> {
        let opened = catch_unwind(AssertUnwindSafe(|| Reader::from_source(bytes)));
        Ok(Self { reader: opened.map_err(|_| Error::Stumbled)?? })
    }

    /// What it calls itself, and of which day it is.
    pub fn name(&self) -> String {
        let about = self.reader.metadata();
        let name: String = about.database_type.chars().filter(|c| !c.is_control()).take(80).collect();
        let built = i64::try_from(about.build_epoch).ok().and_then(|second| Timestamp::from_second(second).ok());
        built.map_or_else(|| name.clone(), |built| format!("{name} of {}", built.strftime("%Y-%m-%d")))
    }

    /// In which country an address is, as the database writes it: two letters, most often.
    pub fn country(&self, address: IpAddr) -> Option<String> {
        self.place(address)?.country
    }

    /// Where an address is; `None` if the database does not say it, or cannot be read there.
    pub(crate) fn place(&self, address: IpAddr) -> Option<Place> {
        let look = || self.reader.lookup(address).ok()?.decode::<Raw>().ok()?;
        let raw = catch_unwind(AssertUnwindSafe(look)).ok()??;
        let country = raw.country.and_then(Country::code).or(raw.country_code).filter(|code| is_code(code));
        let place = Place { country, spot: raw.location.and_then(Location::spot) };
        (place.country.is_some() || place.spot.is_some()).then_some(place)
    }
}

impl Spot {
    /// Kilometres that lie between two places at least, over the surface.
    pub(crate) fn apart(&self, other: &Self) -> f64 {
        let (here, there) = (self.latitude.to_radians(), other.latitude.to_radians());
        let turn = (other.longitude - self.longitude).to_radians();
        let half = ((there - here) / 2.0).sin().powi(2) + here.cos() * there.cos() * (turn / 2.0).sin().powi(2);
        let between = 2.0 * EARTH * half.clamp(0.0, 1.0).sqrt().asin();
        (between - self.within - other.within).max(0.0)
    }
}

/// What is read of an entry. Others are passed over.
#[derive(Deserialize)]
struct Raw {
    country: Option<Country>,
    country_code: Option<String>,
    location: Option<Location>,
}

/// MaxMind and those who follow it write a table, others the code alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Country {
    Code(String),
    Table { iso_code: Option<String> },
}

impl Country {
    fn code(self) -> Option<String> {
        match self {
            Self::Code(code) => Some(code),
            Self::Table { iso_code } => iso_code,
        }
    }
}

#[derive(Deserialize)]
struct Location {
    latitude: Option<Number>,
    longitude: Option<Number>,
    accuracy_radius: Option<Number>,
}

/// The format has seven kinds of numbers, and every maker takes another one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Whole(i64),
    Broken(f64),
}

impl Number {
    fn value(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Broken(number) => number,
        }
    }
}

impl Location {
    fn spot(self) -> Option<Spot> {
        let (latitude, longitude) = (self.latitude?.value(), self.longitude?.value());
        let is_on_earth = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        let within = self.accuracy_radius.map_or(0.0, Number::value).max(0.0);
        is_on_earth.then_some(Spot { latitude, longitude, within })
    }
}

fn is_code(code: &str) -> bool {
    !code.is_empty() && code.len() <= CODE && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLACES: &[u8] = include_bytes!("../../tests/hunt_logs/fixtures/places.mmdb");

    fn place(address: &str) -> Option<Place> {
        Geo::read(PLACES.to_vec()).unwrap().place(address.parse().unwrap())
    }

    fn country(address: &str) -> Option<String> {
        Geo::read(PLACES.to_vec()).unwrap().country(address.parse().unwrap())
    }

    #[test]
    fn a_database_says_where_addresses_of_both_kinds_are() {
        assert_eq!(country("198.51.100.7").as_deref(), Some("DE"));
        assert_eq!(country("2001:db8::7").as_deref(), Some("JP"));
        let (flat, table) = (place("192.0.2.200").unwrap(), place("192.0.2.1").unwrap());
        assert_eq!((flat.country.as_deref(), flat.spot), (Some("AT"), None));
        assert_eq!((table.country.as_deref(), table.spot), (Some("CH"), None));
        assert_eq!(Geo::read(PLACES.to_vec()).unwrap().name(), "Documentation-City of 2021-04-01");
    }

    #[test]
    fn an_address_that_is_not_told_or_that_makes_no_sense_is_nowhere() {
        for address in ["8.8.8.8", "::1", "198.18.0.1", "198.19.0.1"] {
            assert_eq!(place(address), None, "{address}");
        }
    }

    #[test]
    fn the_way_between_two_places_is_as_long_as_on_the_globe() {
        let spot = |address: &str| place(address).unwrap().spot.unwrap();
        let (berlin, paris, york) = (spot("198.51.100.7"), spot("198.51.101.7"), spot("203.0.113.7"));
        assert!((berlin.apart(&paris) - (878.0 - 40.0)).abs() < 5.0, "{}", berlin.apart(&paris));
        assert!((berlin.apart(&york) - (6_385.0 - 70.0)).abs() < 20.0, "{}", berlin.apart(&york));
        // Somewhere in a country is anywhere in it.
        assert_eq!(berlin.apart(&spot("203.0.113.200")), 0.0);
        assert_eq!(berlin.apart(&berlin), 0.0);
    }

    #[test]
    fn a_database_that_is_cut_short_or_none_at_all_is_an_error() {
        for bytes in [&b""[..], b"garbage", &PLACES[..PLACES.len() / 2], &PLACES[..PLACES.len() - 1], &[0; 4096]] {
            assert!(matches!(Geo::read(bytes.to_vec()), Err(Error::Format { .. })));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_as_a_database_make_us_panic(bytes: Vec<u8>) {
            let _ = Geo::read(bytes).map(|geo| geo.place([198, 51, 100, 7].into()));
        }

        #[test]
        fn no_change_to_a_database_makes_us_panic(
            changes in prop::collection::vec((0..PLACES.len(), any::<u8>()), 1..20),
            address: [u8; 4],
        ) {
            let mut bytes = PLACES.to_vec();
            changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
            if let Ok(geo) = Geo::read(bytes) {
                let told = [address, [198, 51, 100, 7], [203, 0, 113, 200]];
                let told: Vec<_> = told.into_iter().filter_map(|address| geo.place(address.into())).collect();
                prop_assert!(told.iter().all(|one| one.spot.is_none_or(|spot| spot.apart(&spot) == 0.0)));
                let _ = geo.name();
            }
        }
    }
}
