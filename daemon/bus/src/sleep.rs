//! Suspend and resume, as logind announces them.

use std::os::fd::OwnedFd;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use zbus::fdo::DBusProxy;
use zbus::proxy::CacheProperties;

use crate::{Address, connect};

/// What the machine does. The same may come twice in a row.
#[derive(Debug)]
pub enum Sleep {
    /// It is about to sleep, and waits for the lock to be dropped, five seconds at most by its default.
    Near(Option<SleepLock>),
    /// It is awake.
    Awake,
}

/// A delay lock of logind: while it is kept the machine waits before it sleeps.
#[derive(Debug)]
pub struct SleepLock {
    _lock: OwnedFd,
}

const LOGIND: &str = "org.freedesktop.login1";
/// News that may wait: each takes the place of the one before.
const NEWS: usize = 8;

/// The part of logind that is used here (org.freedesktop.login1(5)).
#[zbus::proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
trait Manager {
    fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> zbus::Result<zbus::OwnedFd>;

    #[zbus(signal)]
    fn prepare_for_sleep(&self, start: bool) -> zbus::Result<()>;

    #[zbus(property)]
    fn preparing_for_sleep(&self) -> zbus::Result<bool>;
}

/// Follows logind, which need not be there and may be restarted. By a connection of its own: a lock is a descriptor,
/// and none comes in where callers do.
pub async fn watch_sleep(address: &Address) -> zbus::Result<mpsc::Receiver<Sleep>> {
    let connection = &connect(address).await?;
    let logind = ManagerProxy::builder(connection)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let bus = DBusProxy::new(connection).await?;
    let mut owners = bus.receive_name_owner_changed_with_args(&[(0, LOGIND)]).await?;
    let mut announced = logind.receive_prepare_for_sleep().await?;
    let (sender, receiver) = mpsc::channel(NEWS);
    tokio::spawn(async move {
        let mut lock = take(&logind).await;
        if sender.send(now(&logind, &mut lock).await).await.is_err() {
            return;
        }
        loop {
            let news = tokio::select! {
                Some(announcement) = announced.next() => match announcement.args() {
                    Ok(said) if said.start => Sleep::Near(lock.take()),
                    Ok(_awake) => {
                        lock = take(&logind).await;
                        Sleep::Awake
                    }
                    Err(_malformed) => continue,
                },
                Some(change) = owners.next() => match change.args() {
                    Ok(change) if change.new_owner().is_some() => {
                        lock = take(&logind).await;
                        now(&logind, &mut lock).await
                    }
                    _ => continue,
                },
                else => return,
            };
            if sender.send(news).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// How it stands, for one that comes in the middle.
async fn now(logind: &ManagerProxy<'_>, lock: &mut Option<SleepLock>) -> Sleep {
    match logind.preparing_for_sleep().await {
        Ok(true) => Sleep::Near(lock.take()),
        _awake_or_not_known => Sleep::Awake,
    }
}

/// Without a lock the machine does not wait for us; captures end all the same.
async fn take(logind: &ManagerProxy<'_>) -> Option<SleepLock> {
    let why = "captures are ended and devices given back first";
    match logind.inhibit("sleep", "Recueil", why, "delay").await {
        Ok(lock) => Some(SleepLock { _lock: lock.into() }),
        Err(error) => {
            tracing::info!(%error, "no lock to delay sleep: there is no logind, or it refuses");
            None
        }
    }
}
