//! `recueil-rival-watch BUS NAME`: prints `watching`, then the time on the monotonic clock, in nanoseconds,
//! whenever `NAME` gets an owner. For rivals that do not say themselves when they are ready.

use std::io::Write;

use anyhow::Context;
use futures_util::StreamExt;
use zbus::fdo::DBusProxy;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: recueil-rival-watch BUS NAME";
    let bus = arguments.next().context(usage)?;
    let name = arguments.next().context(usage)?;

    let connection = zbus::connection::Builder::address(bus.as_str()).build().await?;
    let bus = DBusProxy::new(&connection).await?;
    let mut changes = bus
        .receive_name_owner_changed_with_args(&[(0, name.as_str())])
        .await?;
    let mut out = std::io::stdout();
    writeln!(out, "watching")?;
    while let Some(change) = changes.next().await {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        if change.args()?.new_owner().is_some() {
            let nanoseconds = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
            writeln!(out, "{nanoseconds}")?;
        }
    }
    Ok(())
}
