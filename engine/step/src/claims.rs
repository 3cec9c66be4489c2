//! What a step has of what steps share, as its action is told.

use std::collections::BTreeMap;

use longhaul_model::ids::SiteId;
use longhaul_model::resource::ResourceKind;

/// What a step has of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// What the resource is.
    pub kind: ResourceKind,
    /// How much of it the step has, in the unit of its kind: bits a second, bytes, a count.
    pub amount: u64,
    /// Where it is: a site, or the two whose link it is; empty if the workflow does not say.
    pub sites: Vec<SiteId>,
}

/// What a step has, by the names of the resources.
pub type Claims = BTreeMap<String, Claimed>;

/// What a step may send over the link between two sites, in bits a second: the least of what it has of that link, and of links of
/// which the workflow does not say between which sites they are. None if it claims nothing of the kind, and then it has no bound.
#[must_use]
pub fn bits_per_second(claims: &Claims, link: [&SiteId; 2]) -> Option<u64> {
    let is_of_link = |claimed: &&Claimed| {
        claimed.kind == ResourceKind::Bandwidth
            && (claimed.sites.is_empty() || link.iter().all(|site| claimed.sites.contains(site)))
    };
    claims.values().filter(is_of_link).map(|claimed| claimed.amount).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only bandwidths of this link bound what is sent over it, in either direction; the least of them counts.
    #[test]
    fn the_least_of_the_links_claims_counts() {
        let [a, b, c]: [SiteId; 3] = ["a", "b", "c"].map(|site| site.parse().unwrap());
        let claimed = |kind, amount, sites: &[&SiteId]| Claimed {
            kind,
            amount,
            sites: sites.iter().map(|site| (*site).clone()).collect(),
        };
        let mut claims = Claims::new();
        assert_eq!(bits_per_second(&claims, [&a, &b]), None);
        claims.insert("room".into(), claimed(ResourceKind::Memory, 1, &[&b]));
        claims.insert("slots".into(), claimed(ResourceKind::Count, 2, &[]));
        claims.insert("other".into(), claimed(ResourceKind::Bandwidth, 3, &[&a, &c]));
        assert_eq!(bits_per_second(&claims, [&a, &b]), None);
        claims.insert("wan".into(), claimed(ResourceKind::Bandwidth, 80, &[&b, &a]));
        assert_eq!(bits_per_second(&claims, [&a, &b]), Some(80));
        claims.insert("all".into(), claimed(ResourceKind::Bandwidth, 70, &[]));
        assert_eq!(bits_per_second(&claims, [&b, &a]), Some(70));
        assert_eq!(bits_per_second(&claims, [&a, &c]), Some(3));
    }
}
