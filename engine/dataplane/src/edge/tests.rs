//! The edge in the kernel: two sites, a client, and a host that moves between the sites with its open connections.
//!
//! The "VM" is a namespace whose network card's other end is moved from one site to the other, which takes its TCP
//! connections along as a move does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use super::testbed::{DEADLINE, Namespace, Site, ip, privileged, run};
use super::{Error, Installed, Service, TapSpec};

const VM: &str = "guest";
const TAP: &str = "lht-guest";
const HOME: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 50);
const SERVICE_B: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 50);
const CLIENT_AT_A: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const CLIENT_AT_B: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);
const PORT: u16 = 7000;

fn spec() -> TapSpec {
    TapSpec { vm: VM.into(), address: HOME, guest_mac: [0x52, 0x54, 0, 0x10, 0, 0x50] }
}

struct World {
    // Sites before namespaces: an edge must end before its namespace is removed.
    a: Site,
    b: Site,
    at_a: Namespace,
    at_b: Namespace,
    client: Namespace,
    vm: Namespace,
}

impl World {
    fn build() -> Self {
        let (at_a, at_b) = (Namespace::new("a"), Namespace::new("b"));
        let (client, vm) = (Namespace::new("c"), Namespace::new("v"));
        for (site, net) in [(&at_a, 1), (&at_b, 2)] {
            let (s, c) = (&site.name, &client.name);
            ip(&format!("-n {s} link add cl0 type veth peer name to{net} netns {c}"));
            ip(&format!("-n {s} addr add 10.{net}.0.1/24 dev cl0"));
            ip(&format!("-n {c} addr add 10.{net}.0.2/24 dev to{net}"));
            ip(&format!("-n {s} link set cl0 up"));
            ip(&format!("-n {c} link set to{net} up"));
        }
        ip(&format!("-n {} route add {HOME} via 10.1.0.1", client.name));
        ip(&format!("-n {} route add {SERVICE_B} via 10.2.0.1", client.name));
        let (a, v) = (&at_a.name, &vm.name);
        ip(&format!("-n {a} link add {TAP} type veth peer name eth0 netns {v}"));
        ip(&format!("-n {v} link set eth0 address 52:54:00:10:00:50 up"));
        ip(&format!("-n {v} addr add {HOME}/32 dev eth0"));
        ip(&format!("-n {v} route add 10.10.0.1 dev eth0"));
        ip(&format!("-n {v} route add default via 10.10.0.1"));
        let world = Self {
            a: Site::open(&at_a, "a", "cl0"),
            b: Site::open(&at_b, "b", "cl0"),
            at_a,
            at_b,
            client,
            vm,
        };
        world.connect();
        serve_ticks(&world.vm);
        world.a.call(|edge| {
            Box::pin(async move {
                edge.tap_create(&spec()).await.unwrap();
                edge.route_here(HOME, TAP).await.unwrap();
            })
        });
        world
    }

    fn connect(&self) {
        let (one, two) = UnixStream::pair().unwrap();
        self.a.pump("b", one);
        self.b.pump("a", two);
    }

    fn move_to_b(&self) {
        self.leave_a();
        arrive(&self.b);
    }

    fn leave_a(&self) {
        self.b.call(|edge| {
            Box::pin(async move {
                let home_site = "a".to_owned();
                edge.serve(&Service { home: HOME, service: SERVICE_B, home_site }).await.unwrap();
                edge.park(HOME);
            })
        });
        self.a.call(|edge| Box::pin(async move { edge.route_away(HOME, "b").await.unwrap() }));
        ip(&format!("-n {} link set {TAP} netns {}", self.at_a.name, self.at_b.name));
    }

    fn move_back_to_a(&self) {
        self.a.call(|edge| Box::pin(async move { edge.park(HOME) }));
        self.b.call(|edge| Box::pin(async move { edge.route_away(HOME, "a").await.unwrap() }));
        ip(&format!("-n {} link set {TAP} netns {}", self.at_b.name, self.at_a.name));
        arrive(&self.a);
    }

    fn flow(&self, to: Ipv4Addr) -> Flow {
        let (sender, ticks) = channel();
        self.client.spawn(move || {
            let stream = TcpStream::connect_timeout(&SocketAddr::from((to, PORT)), DEADLINE).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            for line in BufReader::new(stream).lines() {
                let line = line.map_err(|error| error.to_string());
                let over = line.is_err();
                if sender.send(line).is_err() || over {
                    return;
                }
            }
        });
        Flow { ticks, next: 0, from: String::new() }
    }
}

/// The VM's card is here; what is parked stays so.
fn land(site: &Site) {
    site.call(|edge| {
        Box::pin(async move {
            let tap = edge.tap_create(&spec()).await.unwrap();
            edge.route_here(HOME, &tap).await.unwrap();
        })
    });
}

/// The VM's card is here and the VM runs.
fn arrive(site: &Site) {
    land(site);
    site.call(|edge| Box::pin(async move { edge.release(HOME).await }));
}

/// In the VM: every connection gets numbered lines that name the client's address as the VM sees it. The server
/// speaks and the client is silent, so that after a move the first packet comes from the VM: the harder case.
fn serve_ticks(vm: &Namespace) {
    let (sender, bound) = channel();
    vm.spawn(move || {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
        sender.send(()).unwrap();
        for stream in listener.incoming() {
            std::thread::spawn(move || tick(&stream.unwrap()));
        }
    });
    bound.recv_timeout(DEADLINE).unwrap();
}

fn tick(mut stream: &TcpStream) {
    let from = stream.peer_addr().unwrap().ip();
    // The client sends nothing: waiting for it paces the ticks and ends them when it is gone.
    stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    for number in 0_u64.. {
        let gone = matches!(stream.read(&mut [0]), Ok(0));
        if gone || writeln!(stream, "{number} {from}").is_err() {
            return;
        }
    }
}

struct Flow {
    ticks: Receiver<Result<String, String>>,
    next: u64,
    from: String,
}

impl Flow {
    /// Reads `count` further lines; none may be missing and the connection may not end.
    fn advance(&mut self, count: u64) {
        let deadline = Instant::now() + DEADLINE;
        for _ in 0..count {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.ticks.recv_timeout(left).expect("a tick in time").expect("no reset");
            let (number, from) = line.split_once(' ').unwrap();
            assert_eq!(number, self.next.to_string(), "a tick is missing");
            self.next += 1;
            from.clone_into(&mut self.from);
        }
    }

    /// Reads what had arrived, and then further lines that can only have been sent later.
    fn advance_from_now(&mut self, count: u64) {
        let buffered =
            u64::try_from(self.ticks.try_iter().inspect(|line| assert!(line.is_ok())).count()).unwrap();
        self.next += buffered;
        self.advance(count);
    }
}

/// A connection opened at home survives the move to another site and back without a reset; new connections use the
/// other site's own address, see the client's true address, and survive the way back too; afterwards nothing is left.
#[test]
fn connections_survive_moves() {
    if !privileged() {
        return;
    }
    let world = World::build();
    let mut old = world.flow(HOME);
    old.advance(5);
    assert_eq!(old.from, CLIENT_AT_A.to_string());

    world.move_to_b();
    old.advance_from_now(20);
    let mut new = world.flow(SERVICE_B);
    new.advance(5);
    assert_eq!(new.from, CLIENT_AT_B.to_string());
    let mut late = world.flow(HOME);
    late.advance(5);
    assert_eq!(late.from, CLIENT_AT_A.to_string());

    world.move_back_to_a();
    for flow in [&mut old, &mut new, &mut late] {
        flow.advance_from_now(20);
    }
    clean_up(&world);
}

fn clean_up(world: &World) {
    for site in [&world.a, &world.b] {
        site.call(|edge| {
            Box::pin(async move {
                for _ in 0..2 {
                    edge.unserve(HOME).await.unwrap();
                    edge.route_none(HOME).await.unwrap();
                    edge.tap_remove(VM).await.unwrap();
                }
                assert_eq!(edge.installed().await.unwrap(), Installed::default());
                edge.dismantle().await.unwrap();
            })
        });
    }
    for site in [&world.at_a.name, &world.at_b.name] {
        assert_eq!(run("ip", &format!("netns exec {site} nft list tables")), "");
        let rules = ip(&format!("-n {site} rule"));
        assert!(!rules.contains("10800") && !rules.contains("10801"), "{rules}");
        let rest = ip(&format!("-n {site} addr"));
        assert!(!rest.contains("lh-edge") && !rest.contains(TAP) && !rest.contains("10.9.0.50"), "{rest}");
    }
}

/// What arrives for a VM while it is on its way is held at the target and reaches the VM when it runs.
#[test]
fn parked_packets_arrive() {
    if !privileged() {
        return;
    }
    let world = World::build();
    let (sender, received) = channel();
    let (ready, bound) = channel();
    world.vm.spawn(move || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
        ready.send(()).unwrap();
        let mut buffer = [0; 64];
        while let Ok(length) = socket.recv(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    bound.recv_timeout(DEADLINE).unwrap();
    world.leave_a();
    land(&world.b);
    world.client.spawn(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.send_to(b"hello", (HOME, PORT)).unwrap();
    });
    let parked = || world.b.call(|edge| Box::pin(async move { edge.counters().parked }));
    let deadline = Instant::now() + DEADLINE;
    while parked() == 0 {
        assert!(Instant::now() < deadline, "nothing was parked");
    }
    assert!(received.try_recv().is_err(), "a parked packet arrived");
    world.b.call(|edge| Box::pin(async move { edge.release(HOME).await }));
    assert_eq!(received.recv_timeout(DEADLINE).unwrap(), b"hello");
}

/// A pump ends well when the peer ends the stream between two frames, and with an error for anything that is no frame.
#[test]
fn pump_refuses_nonsense() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new("n");
    ip(&format!("-n {} link add cl0 type veth peer name cl1", namespace.name));
    let site = Site::open(&namespace, "a", "cl0");
    let end = |bytes: &'static [u8]| {
        site.call(move |edge| {
            Box::pin(async move {
                let (mut ours, theirs) = tokio::io::duplex(1024);
                ours.write_all(bytes).await.unwrap();
                ours.shutdown().await.unwrap();
                edge.pump("b", theirs).await
            })
        })
    };
    assert!(end(b"").is_ok());
    assert!(matches!(end(&[0, 3, 1, 2, 3]), Err(Error::Frame { bytes: 3, .. })));
    assert!(matches!(end(&[0, 100, 0x45]), Err(Error::Stream { .. })));
}

/// Every call may be repeated, and an edge that is opened again finds what the last one installed.
#[test]
fn reopens() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new("r");
    ip(&format!("-n {} link add cl0 type veth peer name cl1", namespace.name));
    let service = Service { home: HOME, service: SERVICE_B, home_site: "a".into() };
    let mut found = Vec::new();
    for _ in 0..2 {
        let site = Site::open(&namespace, "b", "cl0");
        let service = service.clone();
        found.push(site.call(|edge| {
            Box::pin(async move {
                let before = edge.installed().await.unwrap();
                let tap = edge.tap_create(&spec()).await.unwrap();
                edge.route_here(HOME, &tap).await.unwrap();
                edge.route_away(Ipv4Addr::new(10, 10, 0, 51), "c").await.unwrap();
                edge.serve(&service).await.unwrap();
                (before, edge.installed().await.unwrap())
            })
        }));
    }
    assert_eq!(found[0].0, Installed::default());
    assert_eq!(found[0].1, found[1].0, "the second edge found something else than the first one left");
    assert_eq!(found[1].0, found[1].1, "repeating changed something");
    let left = &found[1].1;
    assert_eq!((left.taps[0].name.as_str(), left.taps[0].vm.as_deref()), (TAP, Some(VM)));
    assert_eq!((left.here[0].tap.as_str(), left.away[0].peer.as_deref()), (TAP, Some("c")));
    assert_eq!(left.services, [service]);
}
