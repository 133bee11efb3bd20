//! Start, wait, stop.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use recueil_bus::{Address, Authority, Service};
use recueil_store::{StorageKey, Store};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::capture;
use crate::config::Config;
use crate::courier::Courier;
use crate::devices::Devices;
use crate::keys::Keys;
use crate::link::Link;
use crate::quotas::Quotas;
use crate::rules::Rules;
use crate::shop::{Asleep, Shop};
use crate::station::{Inputs, Settings, Station};
use crate::storage::Storage;

/// The command line.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// recueil.toml.
    pub config: PathBuf,
    /// A private bus instead of the system bus.
    pub private_bus: Option<String>,
    /// On a private bus: uids that may do everything, instead of polkit.
    pub allowed_uids: Vec<u32>,
}

/// Queues between actors.
const QUEUE: usize = 64;
/// Time for captures and dossiers to come to their end: a driver has two seconds to close its device.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes of the storage key.
const KEY_LEN: usize = 32;

/// Why the service ended unasked, in words for the journal; what each asks of a service manager is its number.
#[derive(Debug)]
pub enum Ended {
    /// It cannot start, or a thing that it needs is wrong.
    Failed(String),
    /// The disk did not keep what it was given: what is on it is read at the next start.
    Disk,
    /// The bus is gone, and with it every caller's name. The next start finds the bus that is there then.
    Bus,
}

impl Ended {
    /// The process's exit status; those of `sysexits.h` where they fit.
    pub fn status(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            // EX_IOERR
            Self::Disk => 74,
            // EX_TEMPFAIL
            Self::Bus => 75,
        }
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Failed(text) => text,
            Self::Disk => "the disk failed to make data durable; ending, so that it is read again",
            Self::Bus => "the bus closed the connection; ending, so that the next start finds the bus",
        })
    }
}

impl From<String> for Ended {
    fn from(text: String) -> Self {
        Self::Failed(text)
    }
}

/// Runs the service until SIGTERM or SIGINT.
///
/// # Errors
/// Why it cannot start, or why it had to end.
pub async fn run(arguments: Arguments) -> Result<(), Ended> {
    let authority = authority(&arguments)?;
    let config = Config::load(&arguments.config)?;
    let settings = &config.recueild;
    let rules = Rules::load(&settings.rules())?;
    let zone = time_zone(&settings.time_zone)?;
    let keys = load_keys(&config)?;
    let stop = CancellationToken::new();
    let fatal = CancellationToken::new();
    let storage = open_store(settings, fatal.clone())?;
    let tasks = TaskTracker::new();
    // Links end last: what captures hold is given back over them.
    let links = CancellationToken::new();

    let (hostd_events, hostd) = mpsc::channel(QUEUE);
    let (courier_events, courier_news) = mpsc::channel(QUEUE);
    let devices = Devices::new(Link::keep(
        settings.hostd_socket.clone(),
        hostd_events,
        links.clone(),
    ));
    let courier = Courier::new(Link::keep(
        settings.courier_socket.clone(),
        courier_events,
        links.clone(),
    ));
    let (commands, received) = mpsc::channel(QUEUE);
    let (internal_sender, internal) = mpsc::channel(QUEUE);
    let address = arguments.private_bus.map_or(Address::System, Address::Private);
    let limits = settings.quotas.calls();
    let service = async {
        let service = Service::start(&address, authority.clone(), limits, commands).await;
        service.map_err(|error| format!("the bus name cannot be had: {error}"))
    };
    let sleep = async {
        let sleep = recueil_bus::watch_sleep(&address).await;
        sleep.map_err(|error| format!("the bus does not let sleep be watched: {error}"))
    };
    let ((service, vanished), sleep) = tokio::try_join!(service, sleep)?;
    let shop = Shop {
        storage,
        courier,
        capture: capture::Tools {
            config: Arc::new(settings.capture.clone()),
            devices,
            service: service.clone(),
            tasks: tasks.clone(),
            stopping: stop.clone(),
        },
        rules: Arc::new(rules),
        quotas: Arc::new(Quotas::new(settings.quotas.clone())),
        service,
        keys: keys.map(Arc::new),
        station: internal_sender,
        asleep: Asleep::default(),
        tasks: tasks.clone(),
        started: Timestamp::now(),
        started_at: tokio::time::Instant::now(),
    };
    // Kept here, so that its end is not taken for a cause where it follows from another.
    let kept = shop.storage.clone();
    let station = Station::new(
        shop,
        Settings {
            station: config.station,
            authority,
            receipts_dir: settings.receipts_dir.clone(),
            drafts_expire_at: settings.drafts_expire_at,
            zone,
            status_poll: Duration::from_secs(settings.status_poll_s.max(1)),
            steal_after: Duration::from_secs(settings.steal_after_s),
            forget_after: Duration::from_hours(u64::from(settings.forget_after_days) * 24),
        },
        stop.clone(),
    );
    let inputs = Inputs {
        commands: received,
        internal,
        hostd,
        courier: courier_news,
        vanished,
        sleep,
    };
    let mut actor = tokio::spawn(station.run(inputs));
    notify(sd_notify::NotifyState::Ready);
    let outcome = tokio::select! {
        outcome = wait(&fatal) => outcome,
        // It runs until it is told to stop, or until it cannot be reached.
        _ended = &mut actor => Err(Ended::Bus),
    };
    notify(sd_notify::NotifyState::Stopping);
    stop.cancel();
    // It ends after the captures and dossiers.
    if !actor.is_finished() && tokio::time::timeout(GRACE, actor).await.is_err() {
        tracing::warn!("captures or dossiers did not end in time");
    }
    links.cancel();
    drop(kept);
    outcome
}

/// The time zone, from its file alone: looking it up in the whole database takes a third of our start.
fn time_zone(name: &str) -> Result<TimeZone, String> {
    let plain = |part: &str| {
        let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte);
        !part.is_empty() && part.bytes().all(sign)
    };
    if !name.split('/').all(plain) {
        return Err(format!(
            "time_zone {name:?}: a name such as Europe/Paris is needed"
        ));
    }
    let path = Path::new("/usr/share/zoneinfo").join(name);
    let bytes =
        std::fs::read(&path).map_err(|error| format!("time_zone {name}: {}: {error}", path.display()))?;
    TimeZone::tzif(name, &bytes).map_err(|error| format!("time_zone {name}: {error}"))
}

/// polkit decides, except on a private bus where a list may stand in.
fn authority(arguments: &Arguments) -> Result<Authority, String> {
    match (&arguments.private_bus, arguments.allowed_uids.as_slice()) {
        (_, []) => Ok(Authority::Polkit),
        (Some(_), uids) => Ok(Authority::AllowedUids(uids.to_vec())),
        (None, _) => {
            Err("a list of allowed uids is for private buses; on the system bus polkit decides".to_owned())
        }
    }
}

fn load_keys(config: &Config) -> Result<Option<Keys>, String> {
    let (Some(keys), Some(station)) = (&config.recueild.keys, &config.station) else {
        tracing::info!("the station is not enrolled: dossiers are collected but cannot be sealed");
        return Ok(None);
    };
    let loaded = Keys::load(keys, station.clone());
    loaded.map(Some).map_err(|error| {
        let cause = std::error::Error::source(&error)
            .map(|source| format!(": {source}"))
            .unwrap_or_default();
        format!("{error}{cause}")
    })
}

fn open_store(settings: &crate::config::Recueild, fatal: CancellationToken) -> Result<Storage, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the store cannot be opened: {error}");
    let key = storage_key(&settings.state_dir.join("keys")).map_err(|error| failed(&error))?;
    let config = recueil_store::Config {
        state_dir: settings.state_dir.clone(),
        ready_dir: settings.ready_dir.clone(),
    };
    let mut store = Store::open(&config, key, Timestamp::now()).map_err(|error| failed(&error))?;
    let reserve = u64::from(settings.reserve_mib) << 20;
    store.keep_reserve(reserve).map_err(|error| failed(&error))?;
    Storage::start(store, fatal).map_err(|error| failed(&error))
}

/// The storage key, made at the first start. A file is the embedded default: `status` says so.
fn storage_key(dir: &Path) -> std::io::Result<StorageKey> {
    let path = dir.join("storage.key");
    let mut key = Zeroizing::new([0; KEY_LEN]);
    match std::fs::File::open(&path) {
        Ok(mut file) => file.read_exact(key.as_mut())?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(dir)?;
            SystemRandom::new()
                .fill(key.as_mut())
                .map_err(|_none| std::io::Error::other("no random bytes"))?;
            // Whole or not at all: a torn key file would make the store unreadable for ever.
            let new = dir.join("storage.key.new");
            drop(std::fs::remove_file(&new));
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&new)?;
            std::io::Write::write_all(&mut file, key.as_ref())?;
            file.sync_all()?;
            std::fs::hard_link(&new, &path)?;
            std::fs::remove_file(&new)?;
        }
        Err(error) => return Err(error),
    }
    // Also a key that was there: the process that made it may have ended before its name, and its folder's, were on
    // the disk, and drafts that outlive their key are lost.
    for folder in [Some(dir), dir.parent()].into_iter().flatten() {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(StorageKey::new(&key))
}

async fn wait(fatal: &CancellationToken) -> Result<(), Ended> {
    let failed = |error: std::io::Error| Ended::Failed(format!("signals cannot be waited for: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        () = fatal.cancelled() => Err(Ended::Disk),
    }
}

/// Tells the service manager, where there is one.
fn notify(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_zone_is_read_by_its_name_and_no_other_file_is() {
        assert_eq!(
            time_zone("Europe/Paris").unwrap().iana_name(),
            Some("Europe/Paris")
        );
        for name in [
            "",
            "Europe/",
            "../../../etc/passwd",
            "/etc/localtime",
            "Europe/Atlantis",
        ] {
            assert!(time_zone(name).is_err(), "{name}");
        }
    }
}
