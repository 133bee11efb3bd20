//! `recueil-test-client BUS ROLE DEVICE`: station software in a process of its own, to be killed or to watch what
//! happens to others.
//!
//! - `hold` leases the device as soon as it is free, prints `held` and waits for its end.
//! - `capture` takes prints on it, prints `held` when the capture has begun, and waits for its end.
//! - `contend` leases until it has the device: prints `contending` at the first refusal, then the time.
//! - `contend-capture` the same, until its own capture of prints has begun.
//! - `back` prints `watching`, then the time when the device, which captures now, is ready again.
//! - `witness` reads a dossier every 5 ms and scans signatures on the device, until its input ends; prints
//!   `watching` when the first scan has begun, and at the end the counts of failures and of calls.
//!
//! Times are the monotonic clock's, in nanoseconds.

mod witness;

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use recueil_bus::{Address, DeviceProxy};
use recueil_tests::{Client, Followed, device_path};

/// Between two tries of who contends.
const PAUSE: Duration = Duration::from_micros(200);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: recueil-test-client BUS ROLE DEVICE";
    let bus = Address::Private(arguments.next().context(usage)?);
    let role = arguments.next().context(usage)?;
    let device = arguments.next().context(usage)?;
    // An agent a role, so that each has its own drafts.
    let mut client = Client::connect(&bus, &format!("agent.{role}")).await?;
    match role.as_str() {
        "hold" => {
            while lease(&client, &device).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            wait_for_the_end()
        }
        "capture" => {
            let dossier = own_draft(&client, &role).await?;
            while begin(&mut client, &dossier, &device).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            wait_for_the_end()
        }
        "contend" => {
            let mut refused = Refused::default();
            while lease(&client, &device).await.is_err() {
                refused.once_more().await?;
            }
            tell_time()
        }
        "contend-capture" => {
            let dossier = own_draft(&client, &role).await?;
            let mut refused = Refused::default();
            while begin(&mut client, &dossier, &device).await.is_err() {
                refused.once_more().await?;
            }
            tell_time()
        }
        "back" => back(&client, &device).await,
        "witness" => {
            let dossier = own_draft(&client, &role).await?;
            witness::watch(client, dossier, &device).await
        }
        _ => bail!(usage),
    }
}

/// The draft that an earlier process of this role left, or a new one.
async fn own_draft(client: &Client, role: &str) -> anyhow::Result<Followed> {
    let agent = format!("agent.{role}");
    let drafts = client.station.list_drafts().await?;
    match drafts.into_iter().find(|draft| draft.agent == agent) {
        Some(draft) => client.adopt(&draft.id).await,
        None => client.open("deposit", "cni-adulte", None).await,
    }
}

async fn lease(client: &Client, device: &str) -> anyhow::Result<()> {
    let device = DeviceProxy::new(client.connection(), device_path(device)).await?;
    Ok(device.lease(HashMap::new()).await?)
}

/// Begins a capture of prints: the reader waits for a hand.
async fn begin(client: &mut Client, dossier: &Followed, device: &str) -> anyhow::Result<()> {
    let path = client.start(dossier, "empreintes", device, None, true).await?;
    let over = |state: &str| matches!(state, "completed" | "cancelled" | "failed");
    let (view, _) = client
        .until(&path, |view| view.state == "capturing" || over(&view.state))
        .await?;
    anyhow::ensure!(view.state == "capturing", "the capture ended: {view:?}");
    Ok(())
}

async fn back(client: &Client, device: &str) -> anyhow::Result<()> {
    say("watching")?;
    loop {
        let devices = recueil_bus::devices(client.connection()).await?;
        if devices.iter().any(|one| one.id == device && one.state == "ready") {
            return tell_time();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[derive(Default)]
struct Refused(bool);

impl Refused {
    async fn once_more(&mut self) -> anyhow::Result<()> {
        if !self.0 {
            say("contending")?;
        }
        self.0 = true;
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

fn wait_for_the_end() -> anyhow::Result<()> {
    say("held")?;
    loop {
        std::thread::park();
    }
}

fn tell_time() -> anyhow::Result<()> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    say(&(i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)).to_string())
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
