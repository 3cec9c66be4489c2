use std::net::TcpListener;

use longhaul_wire::pki::{Ca, Credentials, Validity};
use longhaul_wire::tls::Acceptor;

use super::*;

/// A site that takes connections and never says a word keeps nobody waiting who asks another one.
#[tokio::test]
async fn a_silent_site_delays_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, own) = (Ca::create(folder.path()).unwrap(), Identity::site("a").unwrap());
    ca.issue(&own, Validity::default()).unwrap();
    let connector = Connector::new(ca.credentials(&own)).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let peer = |id: &str, address| PeerSite { id: id.parse().unwrap(), address };
    let peers = [peer("silent", silent.local_addr().unwrap()), peer("gone", gone)];
    let peers = Peers::new(connector, &peers);
    let ask = |site: &'static str| {
        peers.ask(site, |mut it| async move {
            it.describe_vm(longhaul_wire::v1::DescribeVmRequest::default()).await
        })
    };
    let answer = tokio::select! {
        biased;
        _ = ask("silent") => panic!("the other site had to wait"),
        answer = ask("gone") => answer,
    };
    assert_eq!(answer.unwrap_err().class, Class::Unreachable);
    assert!(silent.accept().is_ok(), "the silent site was never asked");
}

/// Whoever answers in the place of a site's agent is named, and a certificate that is refused is refused by name, whichever
/// side refuses it.
#[tokio::test]
async fn who_is_not_the_site_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let [own, other] = ["own", "other"].map(|name| {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        Ca::create(&folder).unwrap()
    });
    let past = Validity::until("2020-01-01T00:00:00Z".parse().unwrap());
    let ours = issued(&own, "a", Validity::default());
    let strange = issued(&other, "b", Validity::default());
    let of_others = Credentials { ca: ours.ca.clone(), ..strange };
    let cases = [
        (issued(&own, "c", Validity::default()), vec!["longhaul://site/b", "longhaul://site/c answered"]),
        (of_others, vec!["longhaul://site/b", "not from our authority"]),
        (issued(&own, "b", past), vec!["longhaul://site/b", "expired at 2020-01-01"]),
    ];
    for (theirs, words) in cases {
        let said = greeted(ours.clone(), theirs).await;
        assert_eq!(said.class, Class::Auth, "{said}");
        assert!(words.iter().all(|word| said.to_string().contains(word)), "{said}");
    }
    let theirs = issued(&own, "b", Validity::default());
    let said = greeted(issued(&own, "a", past), theirs).await;
    assert_eq!(said.class, Class::Auth, "{said}");
    assert!(said.to_string().contains("it answered `certificate expired` to our certificate"), "{said}");
}

fn issued(ca: &Ca, site: &str, validity: Validity) -> Credentials {
    let site = Identity::site(site).unwrap();
    ca.issue(&site, validity).unwrap();
    ca.credentials(&site)
}

/// What site a learns when it greets site b and somebody with these credentials is there.
async fn greeted(ours: Credentials, theirs: Credentials) -> Error {
    let acceptor = Acceptor::new(theirs).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let peer = PeerSite { id: "b".parse().unwrap(), address };
    let peers = Peers::new(Connector::new(ours).unwrap(), &[peer]);
    let answering = async {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let _refused = acceptor.accept(socket).await;
        }
    };
    tokio::select! {
        greeted = peers.greet("b") => greeted.unwrap_err(),
        () = answering => unreachable!("it answers for ever"),
    }
}
