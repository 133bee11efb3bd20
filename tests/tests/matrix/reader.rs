//! A reader whose plugin does wrong when it is told to (`tests/fixtures/wrong/wrong.c`). The test plays the device.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context;
use recueil_virtual::compose::hand::{Laid, Quality, Slap, lay};
use recueil_virtual::images::Images;
use tokio::sync::mpsc;

/// A loaded machine does each thing within this time.
pub(crate) const WAIT_MAX: Duration = Duration::from_mins(1);

/// What the plugin says of itself.
pub(crate) const OPENS: u8 = b'o';
pub(crate) const CAPTURES: u8 = b'c';
pub(crate) const RETURNED: u8 = b'r';
pub(crate) const CLOSES: u8 = b'x';
pub(crate) const OBEYED: u8 = b'.';

/// What it can be told, see the plugin.
pub(crate) const CRASH: u8 = b'C';
pub(crate) const GARBAGE: u8 = b'G';
pub(crate) const IGNORE_CANCEL: u8 = b'I';
pub(crate) const HANG: u8 = b'H';
pub(crate) const HANG_IN_CLOSE: u8 = b'h';
pub(crate) const CRASH_IN_CLOSE: u8 = b'c';
pub(crate) const HANG_IN_CAPTURE: u8 = b'n';

/// How a picture is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    True,
    /// Of more bytes than there are.
    Size,
    /// Of rows twice as long.
    Stride,
    /// Of a position that no hand has.
    Position,
    /// Of the other hand.
    OtherHand,
    /// Of an hour ago.
    Time,
    /// Of half the resolution.
    Resolution,
    /// True, and the contact is poor.
    Poor,
    /// True, of noise.
    Noise,
}

/// The device; it is unplugged with this value.
pub(crate) struct Reader {
    /// As `recueild` knows it.
    pub(crate) id: String,
    path: PathBuf,
    listener: Option<Arc<OwnedFd>>,
    line: Line,
    said: mpsc::UnboundedReceiver<u8>,
    sender: mpsc::UnboundedSender<u8>,
    /// How the next openings go.
    opens: Arc<Mutex<u8>>,
}

type Line = Arc<Mutex<Option<UnixStream>>>;

impl Reader {
    /// Plugs it in.
    pub(crate) fn plug(devices_dir: &Path, serial: &str) -> anyhow::Result<Self> {
        let (sender, said) = mpsc::unbounded_channel();
        let mut reader = Self {
            id: format!("virtual-wrong-{serial}"),
            path: devices_dir.join(format!("wrong.{serial}.sock")),
            listener: None,
            line: Arc::default(),
            said,
            sender,
            opens: Arc::new(Mutex::new(b'N')),
        };
        reader.replug()?;
        Ok(reader)
    }

    /// Plugs it in again, as the same.
    pub(crate) fn replug(&mut self) -> anyhow::Result<()> {
        let hidden = self.path.with_extension("new");
        drop(std::fs::remove_file(&hidden));
        let listener = UnixListener::bind(&hidden)?;
        std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o666))?;
        // Seen only when it can be used.
        std::fs::rename(&hidden, &self.path)?;
        let own = OwnedFd::from(listener.try_clone()?);
        self.listener = Some(Arc::new(own));
        let (line, sender, opens) = (self.line.clone(), self.sender.clone(), self.opens.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (line, sender, opens) = (line.clone(), sender.clone(), opens.clone());
                std::thread::spawn(move || converse(stream, &line, &sender, &opens));
            }
        });
        Ok(())
    }

    /// Unplugs it.
    pub(crate) fn unplug(&mut self) {
        drop(std::fs::remove_file(&self.path));
        if let Some(listener) = self.listener.take() {
            // Wakes whoever accepts there.
            rustix::net::shutdown(listener.as_fd(), rustix::net::Shutdown::Both).ok();
        }
        if let Some(line) = lock(&self.line).take() {
            drop(line.shutdown(std::net::Shutdown::Both));
        }
    }

    /// Lets its next openings hang, or go well.
    pub(crate) fn opens_hang(&self, hang: bool) {
        *lock(&self.opens) = if hang { HANG } else { b'N' };
    }

    /// Waits until the plugin says this of itself.
    pub(crate) async fn until(&mut self, what: u8) -> anyhow::Result<()> {
        let wait = async {
            while let Some(said) = self.said.recv().await {
                if said == what {
                    return Ok(());
                }
            }
            anyhow::bail!("the device is gone")
        };
        let waited = tokio::time::timeout(WAIT_MAX, wait).await;
        waited.with_context(|| format!("the plugin does not say {:?}", char::from(what)))?
    }

    /// Tells the plugin something, and waits until it has done it.
    pub(crate) async fn order(&mut self, what: u8) -> anyhow::Result<()> {
        self.tell(what)?;
        self.until(OBEYED).await
    }

    /// Tells the plugin something that it may not live to say it has done.
    pub(crate) fn tell(&self, what: u8) -> anyhow::Result<()> {
        self.write(&[header(what, 0, 0, 0, 0, 0, 0)])
    }

    /// Puts a hand down, the right one or the left, which the plugin describes in its own words.
    pub(crate) fn show(&self, right: bool, words: Words) -> anyhow::Result<()> {
        let slap = slap(right)?;
        let lie = match words {
            Words::Size => b'z',
            Words::Stride => b'l',
            Words::Position => b'p',
            Words::Time => b't',
            _ => 0,
        };
        let whole: u16 = if right == (words != Words::OtherHand) {
            13
        } else {
            14
        };
        let ppi = if words == Words::Resolution { 250 } else { 500 };
        let picture = &slap.picture;
        let count = u32::try_from(slap.segments.len())?;
        let header = header(b'R', lie, whole, picture.width, picture.height, count, ppi);
        let segments = slap.segments.iter().flat_map(|segment| {
            let quality = match (words, segment.quality) {
                (Words::Poor, _) => 5,
                (_, quality) => quality.map_or(255, u32::from),
            };
            let numbers = [
                u32::from(segment.position),
                segment.x.cast_unsigned(),
                segment.y.cast_unsigned(),
                segment.width,
                segment.height,
                segment.angle_milli_deg.cast_unsigned(),
                quality,
            ];
            numbers.into_iter().flat_map(u32::to_le_bytes)
        });
        let pixels = match words {
            Words::Noise => noise(picture.pixels.len()),
            _ => picture.pixels.clone(),
        };
        self.write(&[header, segments.collect(), pixels])
    }

    /// Gives one small preview of a single grey.
    pub(crate) fn preview(&self, grey: u8) -> anyhow::Result<()> {
        const SIDE: u32 = 64;
        let header = header(b'P', 0, 13, SIDE, SIDE, 0, 500);
        self.write(&[header, vec![grey; usize::try_from(SIDE * SIDE)?]])
    }

    fn write(&self, parts: &[Vec<u8>]) -> anyhow::Result<()> {
        let line = lock(&self.line);
        let mut line = line.as_ref().context("nobody drives the device")?;
        Ok(line.write_all(&parts.concat())?)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.unplug();
    }
}

fn converse(mut stream: UnixStream, line: &Line, sender: &mpsc::UnboundedSender<u8>, opens: &Mutex<u8>) {
    let Ok(ours) = stream.try_clone() else { return };
    *lock(line) = Some(ours);
    let mut said = [0];
    while stream.read_exact(&mut said).is_ok() {
        if said[0] == OPENS {
            let how = *lock(opens);
            drop(stream.write_all(&[how]));
        }
        if sender.send(said[0]).is_err() {
            return;
        }
    }
}

fn header(what: u8, lie: u8, position: u16, width: u32, height: u32, segments: u32, ppi: u32) -> Vec<u8> {
    let mut bytes = vec![what, lie];
    bytes.extend(position.to_le_bytes());
    for number in [width, height, segments, ppi] {
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

/// Both hands as a four-finger reader sees them, made once.
fn slap(right: bool) -> anyhow::Result<&'static Slap> {
    static HANDS: OnceLock<Result<[Slap; 2], String>> = OnceLock::new();
    let made = HANDS.get_or_init(|| {
        let images = Images::load(&recueil_tests::fixtures("images")).map_err(|error| error.to_string())?;
        let of = |fingers: &[u8]| {
            let laid = Laid {
                fingers,
                seed: 3,
                quality: Quality::Good,
            };
            lay(&images.hands, &laid)
        };
        Ok([of(&[7, 8, 9, 10]), of(&[2, 3, 4, 5])])
    });
    match made {
        Ok(hands) => hands.get(usize::from(right)).context("two hands"),
        Err(error) => anyhow::bail!("{error}"),
    }
}

/// Always the same (an xorshift), so that no run is luckier than another.
fn noise(len: usize) -> Vec<u8> {
    let mut state: u32 = 0x9E37_79B9;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
