//! A client of fprintd, as the fault benches need it: `recueil-rival-fprint BUS ROLE NAME`, where `NAME` is the
//! `name` property of a device.
//!
//! - `hold` claims the device, prints `held` and waits for its end.
//! - `enroll` does the same with an enrolment under way.
//! - `contend` claims until it has the device: prints `contending` at the first refusal, then the time.
//! - `contend-enroll` the same, until its own enrolment has begun.
//! - `witness` begins and stops enrolments until its input ends; prints `watching` when the first has begun, and at
//!   the end the count of failures and of enrolments.
//!
//! Times are the monotonic clock's, in nanoseconds.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};

use zbus::{Connection, OwnedObjectPath, OwnedVariant};

const SERVICE: &str = "net.reactivated.Fprint";
const DEVICE: &str = "net.reactivated.Fprint.Device";
const PAUSE: Duration = Duration::from_micros(200);
const ENROLMENT_EVERY: Duration = Duration::from_millis(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: recueil-rival-fprint BUS ROLE NAME";
    let bus = arguments.next().context(usage)?;
    let role = arguments.next().context(usage)?;
    let name = arguments.next().context(usage)?;
    let connection = zbus::connection::Builder::address(bus.as_str()).build().await?;
    match role.as_str() {
        "hold" => {
            Device::find(&connection, &name).await?.claim_when_free().await;
            wait_for_the_end("held").await
        }
        "enroll" => {
            let device = Device::find(&connection, &name).await?;
            device.claim_when_free().await;
            device.enrol().await?;
            wait_for_the_end("held").await
        }
        "contend" => contend(&connection, &name, false).await,
        "contend-enroll" => contend(&connection, &name, true).await,
        "witness" => witness(&connection, &name).await,
        _ => bail!(usage),
    }
}

struct Device<'c> {
    connection: &'c Connection,
    path: OwnedObjectPath,
}

impl<'c> Device<'c> {
    async fn find(connection: &'c Connection, name: &str) -> anyhow::Result<Self> {
        let (manager, path) = (
            "net.reactivated.Fprint.Manager",
            "/net/reactivated/Fprint/Manager",
        );
        let reply = connection
            .call_method(Some(SERVICE), path, Some(manager), "GetDevices", &())
            .await?;
        let paths: Vec<OwnedObjectPath> = reply.body().deserialize()?;
        for path in paths {
            let properties = "org.freedesktop.DBus.Properties";
            let reply = connection
                .call_method(Some(SERVICE), &path, Some(properties), "Get", &(DEVICE, "name"))
                .await?;
            let value: OwnedVariant = reply.body().deserialize()?;
            if String::try_from(value)? == name {
                return Ok(Self { connection, path });
            }
        }
        bail!("fprintd has no device {name:?}")
    }

    async fn call<B>(&self, method: &str, body: &B) -> zbus::Result<()>
    where
        B: zbus::export::serde::Serialize + zbus::zvariant::DynamicType,
    {
        let call = self
            .connection
            .call_method(Some(SERVICE), &self.path, Some(DEVICE), method, body);
        call.await.map(drop)
    }

    async fn claim(&self) -> zbus::Result<()> {
        self.call("Claim", &("",)).await
    }

    /// The holder before may have ended a moment ago.
    async fn claim_when_free(&self) {
        while self.claim().await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn enrol(&self) -> zbus::Result<()> {
        self.call("EnrollStart", &("right-index-finger",)).await
    }
}

async fn contend(connection: &Connection, name: &str, enrol: bool) -> anyhow::Result<()> {
    let mut told = false;
    loop {
        // The service may be gone, or another one than before.
        if let Ok(device) = Device::find(connection, name).await
            && device.claim().await.is_ok()
        {
            if enrol {
                device.enrol().await?;
            }
            break;
        }
        if !told {
            writeln!(std::io::stdout(), "contending")?;
        }
        told = true;
        tokio::time::sleep(PAUSE).await;
    }
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let nanoseconds = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    writeln!(std::io::stdout(), "{nanoseconds}")?;
    Ok(())
}

async fn witness(connection: &Connection, name: &str) -> anyhow::Result<()> {
    let (mut failures, mut enrolments, mut told) = (0_u32, 0_u32, false);
    let mut device = None;
    let mut ended = std::pin::pin!(input_ended());
    loop {
        let turn = async {
            match &device {
                None => {
                    let found = Device::find(connection, name).await?;
                    found.claim().await?;
                    device = Some(found);
                }
                Some(device) => {
                    device.enrol().await?;
                    device.call("EnrollStop", &()).await?;
                }
            }
            anyhow::Ok(())
        };
        let held = turn.await;
        match held {
            Ok(()) if !told => {
                told = true;
                writeln!(std::io::stdout(), "watching")?;
            }
            Ok(()) => enrolments += 1,
            // Once for each claim that is lost.
            Err(_) => failures += u32::from(device.take().is_some()),
        }
        tokio::select! {
            () = &mut ended => break,
            () = tokio::time::sleep(ENROLMENT_EVERY) => {}
        }
    }
    writeln!(std::io::stdout(), "{failures} {enrolments}")?;
    Ok(())
}

/// Comes when standard input ends.
fn input_ended() -> impl Future<Output = ()> {
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // An error is an end too.
        drop(std::io::read_to_string(std::io::stdin()));
        tell.send(())
    });
    async move { drop(told.await) }
}

async fn wait_for_the_end(word: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{word}")?;
    std::future::pending().await
}
