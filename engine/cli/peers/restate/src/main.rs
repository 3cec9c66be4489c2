//! Steps that do nothing, with Restate: `restate-peer SHAPE STEPS RUNS FOLDER SERVER`. The server is started on loopback
//! with what it calls durable by itself.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use restate_sdk::prelude::*;

static STARTS_NS: Mutex<Vec<u64>> = Mutex::new(Vec::new());
static BEGUN: Mutex<Option<Instant>> = Mutex::new(None);

struct Bench;

#[service]
impl Bench {
    #[handler]
    async fn chain(&self, context: Context<'_>, steps: u64) -> Result<(), HandlerError> {
        for _ in 0..steps {
            context.run(nothing).await?;
        }
        Ok(())
    }

    /// One step of a fan-out. The SDK has no way to do several within one handler: each has to be awaited at once.
    #[handler]
    async fn step(&self, _context: Context<'_>) -> Result<(), HandlerError> {
        Ok(nothing().await?)
    }

    #[handler]
    async fn fan(&self, context: Context<'_>, steps: u64) -> Result<(), HandlerError> {
        let mut all = DurableFuturesUnordered::new();
        for _ in 0..steps {
            all.push(context.service_client::<BenchClient>().step().call());
        }
        while let Some((_, ended)) = all.next().await? {
            ended?;
        }
        Ok(())
    }
}

async fn nothing() -> HandlerResult<()> {
    let begun = BEGUN.lock().expect("no panic holds this").expect("a run has begun");
    STARTS_NS.lock().expect("no panic holds this").push(begun.elapsed().as_nanos() as u64);
    Ok(())
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("loopback has free ports")
}

/// The server, which ends with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().expect("it is ours");
        self.0.wait().expect("it is ours");
    }
}

fn serve(program: &str, folder: &str, ingress: SocketAddr, admin: SocketAddr) -> Server {
    let mut server = Command::new(program);
    server.args(["--base-dir", folder, "--node-name", "bench", "--listen-mode", "tcp", "--bind-ip", "127.0.0.1"]);
    server.args(["--bind-port", &free_address().port().to_string(), "--no-logo"]);
    server.env("RESTATE_INGRESS__BIND_ADDRESS", ingress.to_string());
    server.env("RESTATE_ADMIN__BIND_ADDRESS", admin.to_string());
    server.env("RESTATE_DISABLE_TELEMETRY", "true").env("RESTATE_LOG_FILTER", "error");
    server.stdout(Stdio::null()).stderr(Stdio::null());
    Server(server.spawn().expect("the server starts"))
}

/// Tells the server where the steps are; it takes a while until it listens.
async fn register(client: &reqwest::Client, admin: SocketAddr, here: SocketAddr) {
    let body = serde_json::json!({ "uri": format!("http://{here}") });
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = client.post(format!("http://{admin}/deployments")).json(&body).send().await;
        if answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        assert!(Instant::now() < until, "the server does not take the service: {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn call(client: &reqwest::Client, ingress: SocketAddr, handler: &str, steps: u64) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = client.post(format!("http://{ingress}/Bench/{handler}")).json(&steps).send().await;
        if answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        assert!(Instant::now() < until, "the call failed: {answer:?}");
        assert!(STARTS_NS.lock().expect("no panic holds this").is_empty(), "a run failed: {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().collect();
    let (steps, runs): (u64, usize) = (words[2].parse().expect("steps"), words[3].parse().expect("runs"));
    let (here, ingress, admin) = (free_address(), free_address(), free_address());
    tokio::spawn(HttpServer::new(Endpoint::builder().bind(Bench).build()).listen_and_serve(here));
    let server = serve(&words[5], &words[4], ingress, admin);
    let client = reqwest::Client::new();
    register(&client, admin, here).await;
    *BEGUN.lock().expect("no panic holds this") = Some(Instant::now());
    call(&client, ingress, "chain", 3).await;
    STARTS_NS.lock().expect("no panic holds this").clear();
    let begun = Instant::now();
    *BEGUN.lock().expect("no panic holds this") = Some(begun);
    let handler = if words[1] == "fan-out" { "fan" } else { "chain" };
    futures::future::join_all((0..runs).map(|_| call(&client, ingress, handler, steps))).await;
    let ended = begun.elapsed().as_nanos() as u64;
    let starts = STARTS_NS.lock().expect("no panic holds this").clone();
    println!("{}", serde_json::json!({ "starts_ns": starts, "ended_ns": ended }));
    std::io::stdin().read_line(&mut String::new()).expect("stdin is a pipe");
    drop(server);
    std::process::exit(0);
}
