//! The virtual bus: a folder in which `recueil-virtual` offers one Unix socket a device, `MODEL.SERIAL.sock`.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{AtFlags, CWD, FileType};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tracing::warn;

use crate::Error;
use crate::manifest::is_label;

/// Most sockets looked at.
pub const SOCKETS_MAX: usize = 16;
/// Most entries of the folder read in one look.
const ENTRIES_MAX: usize = 1024;
/// How often a folder may be made and removed under our eyes before that is an error.
const WATCH_TRIES_MAX: usize = 16;

/// A device that the folder offers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// What manifests match.
    pub model: String,
    /// What makes it the same device when it comes back.
    pub serial: String,
}

impl Name {
    /// Reads `MODEL.SERIAL.sock`; both parts are 1 to 32 letters, digits, '-'.
    pub fn parse(file_name: &str) -> Option<Self> {
        let (model, serial) = file_name.strip_suffix(".sock")?.split_once('.')?;
        (is_label(model) && is_label(serial)).then(|| Self {
            model: model.to_owned(),
            serial: serial.to_owned(),
        })
    }

    /// The device's id: `virtual-MODEL-SERIAL`.
    pub fn device_id(&self) -> String {
        format!("virtual-{}-{}", self.model, self.serial)
    }
}

/// A socket file. One that was removed and made anew is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Where to connect.
    pub path: PathBuf,
    /// As in its name.
    pub serial: String,
    inode: u64,
    made_ns: (i64, u64),
}

/// What is offered at one time.
pub type Offers = BTreeMap<Name, Offer>;

/// Watches the folder, which need not exist yet.
#[derive(Debug)]
pub struct VirtualBus {
    dir: PathBuf,
    watch: Option<Watch>,
    offers: Option<Offers>,
    /// Something has happened since the last look.
    stale: bool,
}

/// An inotify instance on one folder: the bus's own, or the nearest above it that exists.
#[derive(Debug)]
struct Watch {
    events: AsyncFd<OwnedFd>,
    on: PathBuf,
}

impl VirtualBus {
    /// A bus in `dir`, an absolute path.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            watch: None,
            offers: None,
            stale: true,
        }
    }

    /// Waits until what is offered differs from what this gave last, and gives it. The first call answers
    /// at once. Cancel safe.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::File`] if the folder cannot be watched.
    pub async fn changed(&mut self) -> Result<Offers, Error> {
        loop {
            // Asked again and again beside other things: the folder is looked at when something happened there.
            if self.stale {
                // The watch is set before the look, so that nothing falls between them.
                self.set_watch()?;
                let offers = look(&self.dir)?;
                self.stale = false;
                if self.offers.as_ref() != Some(&offers) {
                    self.offers = Some(offers.clone());
                    return Ok(offers);
                }
            }
            if let Some(watch) = &self.watch {
                watch.something().await?;
            }
            self.stale = true;
        }
    }

    /// Watches the folder itself, or where it will appear.
    fn set_watch(&mut self) -> Result<(), Error> {
        let dir = self.dir.clone();
        for _ in 0..WATCH_TRIES_MAX {
            let mut below: Option<&Path> = None;
            for on in dir.ancestors() {
                match self.watch_on(on) {
                    // The folder below was made just before the watch on this one: once more.
                    Ok(()) if below.is_some_and(Path::exists) => break,
                    Ok(()) => return Ok(()),
                    Err(Errno::NOENT | Errno::NOTDIR) => below = Some(on),
                    Err(errno) => return Err(Error::file(on, errno)),
                }
            }
        }
        Err(Error::file(dir, Errno::AGAIN))
    }

    fn watch_on(&mut self, on: &Path) -> Result<(), Errno> {
        // Added again each time: the folder may have been removed and made anew under the same name.
        if let Some(watch) = &self.watch
            && watch.on == on
            && watch.add().is_ok()
        {
            return Ok(());
        }
        let watch = Watch::new(on)?;
        watch.add()?;
        self.watch = Some(watch);
        Ok(())
    }
}

impl Watch {
    fn new(on: &Path) -> Result<Self, Errno> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let events =
            recueil_wire::watch(fd).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(Self {
            events,
            on: on.to_owned(),
        })
    }

    fn add(&self) -> Result<(), Errno> {
        let come = WatchFlags::CREATE | WatchFlags::MOVED_TO;
        let go =
            WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        inotify::add_watch(self.events.get_ref(), &self.on, come | go | WatchFlags::ONLYDIR).map(|_| ())
    }

    /// Waits for events and takes them all: the folder itself says what they came to.
    async fn something(&self) -> Result<(), Error> {
        let failed = |source| Error::system("waiting for folders", source);
        let mut ready = self.events.readable().await.map_err(failed)?;
        let mut buffer = [0_u8; 4096];
        loop {
            match rustix::io::retry_on_intr(|| rustix::io::read(self.events.get_ref(), &mut buffer)) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(Errno::AGAIN) => {
                    ready.clear_ready();
                    return Ok(());
                }
                Err(errno) => return Err(failed(errno.into())),
            }
        }
    }
}

fn look(dir: &Path) -> Result<Offers, Error> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Offers::new()),
        Err(error) => return Err(Error::file(dir, error)),
    };
    let mut offers = Offers::new();
    for entry in entries.take(ENTRIES_MAX) {
        let Ok(entry) = entry else { continue };
        let path = entry.path();
        let Some(name) = std::str::from_utf8(entry.file_name().as_bytes())
            .ok()
            .and_then(Name::parse)
        else {
            continue;
        };
        let Ok(stat) = rustix::fs::statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
            continue;
        }
        if offers.len() == SOCKETS_MAX {
            warn!(dir = %dir.display(), "over {SOCKETS_MAX} sockets: the others are not looked at");
            break;
        }
        let offer = Offer {
            path,
            serial: name.serial.clone(),
            inode: stat.st_ino,
            made_ns: (stat.st_mtime, stat.st_mtime_nsec),
        };
        offers.insert(name, offer);
    }
    Ok(offers)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn models(offers: &Offers) -> Vec<String> {
        offers.keys().map(Name::device_id).collect()
    }

    #[test]
    fn a_socket_is_named_by_model_and_serial() {
        let name = Name::parse("fp4.SN-0001.sock").unwrap();
        assert_eq!(name.device_id(), "virtual-fp4-SN-0001");
        for other in [
            "fp4.sock",
            "fp4..sock",
            ".a.sock",
            "fp4.a.b.sock",
            "fp4.a",
            "fp4.a/b.sock",
            "fp 4.a.sock",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
        assert_eq!(Name::parse(&format!("fp4.{}.sock", "a".repeat(33))), None);
    }

    #[tokio::test]
    async fn devices_come_go_and_return() {
        let dir = tempfile::tempdir().unwrap();
        let mut bus = VirtualBus::new(dir.path());
        assert!(
            bus.changed().await.unwrap().is_empty(),
            "the first answer comes at once"
        );
        let path = dir.path().join("fp4.1.sock");
        let _first = UnixListener::bind(&path).unwrap();
        let first = bus.changed().await.unwrap();
        assert_eq!(models(&first), ["virtual-fp4-1"]);
        std::fs::write(dir.path().join("camera.1.sock"), "no socket").unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(bus.changed().await.unwrap().is_empty());
        let _second = UnixListener::bind(&path).unwrap();
        let second = bus.changed().await.unwrap();
        assert_eq!(models(&second), models(&first));
    }

    #[tokio::test]
    async fn a_socket_made_anew_between_two_looks_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fp4.1.sock");
        let _first = UnixListener::bind(&path).unwrap();
        let mut bus = VirtualBus::new(dir.path());
        let before = bus.changed().await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let _second = UnixListener::bind(&path).unwrap();
        let after = bus.changed().await.unwrap();
        assert_eq!(models(&before), models(&after));
        assert_ne!(before, after);
    }

    #[tokio::test]
    async fn the_folder_may_appear_later_go_and_appear_again() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("run/virtual");
        let mut bus = VirtualBus::new(&dir);
        assert!(bus.changed().await.unwrap().is_empty());
        for _ in 0..2 {
            std::fs::create_dir_all(&dir).unwrap();
            let _socket = UnixListener::bind(dir.join("fp4.1.sock")).unwrap();
            assert_eq!(models(&bus.changed().await.unwrap()), ["virtual-fp4-1"]);
            std::fs::remove_dir_all(root.path().join("run")).unwrap();
            assert!(bus.changed().await.unwrap().is_empty());
        }
    }
}
