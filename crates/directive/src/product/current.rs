//! Current: what is known of a product today, by its pack and by the advisories of a case together?
//!
//! Whoever judges versions of a case judges by this: a release that the pack calls fixed may have become affected
//! since. So only [`State::current`](crate::state::State::current) and [`Current::of`] give what judges, and a pack's
//! product by itself tells other crates no releases and no exposure.

use jiff::Timestamp;

use super::{Exposure, Product, Range, Release, Told};
use crate::notice::Notice;
use crate::record::{Status, Witness};

/// A product as its pack and the advisories have it. Advisories add to what is affected, and take nothing away: the
/// directive is about what its pack says.
#[derive(Debug, Clone)]
pub struct Current(Product);

impl Current {
    /// A product with what advisories say of it. Those of other products are passed over.
    pub fn of<'n>(product: &Product, notices: impl IntoIterator<Item = &'n Notice>) -> Self {
        let mut product = product.clone();
        let name = product.name.clone();
        for notice in notices.into_iter().filter(|notice| notice.product == name) {
            product.affected.extend(notice.ranges());
            product.releases.extend(notice.fixed.iter().map(|fixed| Release {
                version: fixed.version.clone(),
                released: fixed.released,
                note: format!("by {}", notice.name()),
            }));
        }
        Self(product)
    }

    /// What a version that somebody told means.
    pub fn witness(&self, told: &Told) -> Witness {
        self.0.witness(told)
    }

    /// The first release up to `now` that is not affected itself.
    pub fn fixing_release(&self, now: Timestamp) -> Option<&Release> {
        self.0.fixing_release(now)
    }

    /// Ranges that are affected.
    pub fn affected(&self) -> &[Range] {
        &self.0.affected
    }

    /// The vulnerabilities that are named, each once.
    pub fn cves(&self) -> Vec<&str> {
        self.0.cves()
    }

    /// What one vulnerability means for an instance whose witnesses say `status` of `version`.
    pub fn exposure(&self, cve: &str, version: Option<&str>, status: Status) -> Exposure {
        self.0.exposure(cve, version, status)
    }

    /// The vulnerabilities to which an affected version is open.
    pub fn vulnerabilities(&self, version: Option<&str>) -> Vec<&str> {
        self.0.vulnerabilities(version)
    }
}

/// What a witness that was recorded means, now that advisories say more of its version.
///
/// What was affected stays so. Where distributions fix a product under an unchanged number, a number in a range leaves
/// the question open: the package decides, and advisories of the product do not speak of packages.
pub(crate) fn again<'n>(witness: &Witness, notices: impl IntoIterator<Item = &'n Notice>) -> Witness {
    let mut now = witness.clone();
    for notice in notices {
        for range in notice.ranges() {
            let holds = |version: &str| notice.scheme.accepts(version) && range.holds(notice.scheme, version);
            let low = holds(&witness.upstream);
            let high = if witness.exact { low } else { holds(&longest(&witness.upstream)) };
            let status = match (low, high) {
                (true, true) if !notice.backported => Status::Affected,
                (false, false) => continue,
                _ => Status::Unknown,
            };
            if is_worse(status, now.status) {
                now.status = status;
                now.why = match status {
                    Status::Unknown => {
                        format!("perhaps in the affected range{range}: a number alone does not decide it")
                    }
                    _ => format!("in the affected range{range}"),
                };
            }
        }
    }
    now
}

/// Whether a recorded witness is in an affected range of this notice.
pub(crate) fn is_affected_by(witness: &Witness, notice: &Notice) -> bool {
    again(&Witness { status: Status::Fixed, ..witness.clone() }, [notice]).status == Status::Affected
}

/// The latest version that has this beginning.
pub(super) fn longest(version: &str) -> String {
    format!("{version}.{}", u32::MAX)
}

fn is_worse(status: Status, than: Status) -> bool {
    let weight = |status| match status {
        Status::Fixed => 0,
        Status::Unknown => 1,
        Status::Affected => 2,
    };
    weight(status) > weight(than)
}
