use proptest::prelude::*;

use super::*;

fn id() -> impl Strategy<Value = SiteId> {
    "[a-z][a-z0-9]{0,9}".prop_map(|text| text.parse().unwrap())
}

/// No IPv6 scope or flow label: the text form of an address has none.
fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

fn pki() -> impl Strategy<Value = Pki> {
    ("[ -~]{1,30}", "/[a-z]{1,9}", "[\\PC]{1,9}").prop_map(|(ca, certificate, key)| Pki {
        ca: ca.into(),
        certificate: certificate.into(),
        key: key.into(),
    })
}

fn arbitrary() -> impl Strategy<Value = Site> {
    let addresses = (proptest::collection::vec(address(), 1..3), address(), any::<[u8; 5]>());
    let peers = proptest::collection::btree_map("[b-z]{1,5}", address(), 0..4);
    (addresses, peers, pki(), "[ -~]{1,30}", any::<u32>(), any::<u64>()).prop_map(
        |((listen, dns, mac), peers, pki, state, ttl_seconds, reserve)| Site {
            id: "a".parse().unwrap(),
            listen,
            state: state.into(),
            pki,
            peers: peers
                .into_iter()
                .map(|(id, address)| PeerSite { id: id.parse().unwrap(), address })
                .collect(),
            edge: Edge {
                interface: "eth0".into(),
                gateway: Ipv4Addr::new(10, 0, 0, 1),
                gateway_mac: mac.iter().fold("52".to_owned(), |text, octet| format!("{text}:{octet:02x}")),
            },
            dns: Dns { zone: "lab.test".into(), listen: dns, ttl_seconds },
            disk_reserve: Size::from_bytes(reserve),
        },
    )
}

proptest! {
    /// Whatever site is written reads back the same. (proptest prints the seed of a failure.)
    #[test]
    fn written_sites_read_back(site in arbitrary()) {
        let text = site.to_yaml();
        prop_assert_eq!(parse_site(&Source::new("site.yaml", &text)), Ok(site), "{}", text);
    }

    /// Whatever inventory is written reads back the same.
    #[test]
    fn written_inventories_read_back(ids in proptest::collection::btree_set(id(), 0..5), address in address(), pki in pki()) {
        let sites = Sites { sites: ids.into_iter().map(|id| KnownSite { id, address }).collect(), pki };
        let text = sites.to_yaml();
        prop_assert_eq!(parse_sites(&Source::new("sites.yaml", &text)), Ok(sites), "{}", text);
    }
}

/// A site that stands twice, a zone that is none and a missing list are found together.
#[test]
fn all_mistakes_of_a_site_are_found() {
    let text = "apiVersion: longhaul/v1\nkind: Site\nid: a\nlisten: []\nstate: s\npki: { ca: a, certificate: b, key: c }\n\
                peers: [{ id: a, address: 1.1.1.1:1 }]\nedge: { interface: e, gateway: 1.1.1.1, gateway_mac: '01:00:00:00:00:00' }\n\
                dns: { zone: A_b, listen: 1.1.1.1:53, ttl_seconds: 5 }\ndisk_reserve: 1GiB\n";
    let found = parse_site(&Source::new("site.yaml", text)).unwrap_err();
    assert_eq!(found.len(), 4, "{found}");
    let sites = "apiVersion: longhaul/v1\nkind: Site\nsites: {}\n";
    let found = parse_sites(&Source::new("sites.yaml", sites)).unwrap_err();
    assert_eq!(found.len(), 3, "{found}");
}
