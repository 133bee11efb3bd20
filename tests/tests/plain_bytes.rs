//! Whatever ended how it ended: no pixel and no encoded picture is in any file of the station, in a core or in the
//! memory of a process that lives. Pictures are drawn anew for each run, so that what is found is this run's.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use recueil_bus::CaptureProxy;
use recueil_plugin_simulator::protocol::{Area, Format};
use recueil_search::{Found, Needles, PIXEL_STEP, WINDOW};
use recueil_tests::hostile::Seed;
use recueil_tests::{Client, Followed, Options, Station, fixtures};
use recueil_virtual::compose::hand::{Laid, Quality, lay};
use recueil_virtual::compose::page::{Page, scan_page, scan_signature};
use recueil_virtual::compose::photo::{Variant, scan_photo};
use recueil_virtual::compose::{Glass, Picture};
use recueil_virtual::images::Images;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use serde_json::{Value, json};

#[tokio::test]
async fn no_plain_byte_stays_after_discards_seals_crashes_and_cancels() -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return skipped("only root reads the memory of other users' processes");
    }
    let seed = u64::from(std::process::id()) << 32 | u64::from(jiffies()?);
    say(&format!("seed {seed:#x}"))?;
    allow_cores()?;
    let mut station = Station::start(Options::default())?;
    let told = story(&mut station, seed).await;
    told.with_context(|| station.logs())
}

async fn story(station: &mut Station, seed: u64) -> anyhow::Result<()> {
    let cores = Cores::look(station);
    let mut hall = Hall {
        images: Images::load(&fixtures("images"))?,
        seed: Seed(seed),
        needles: Needles::default(),
    };
    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = client.device("fingerprint").await?;
    let scanner = client.device("scanner").await?;

    hall.is_found_while_it_is_needed(station, &mut client, &reader)
        .await?;

    // Discarded: a poor try, six prints of eight, a photo that is taken again.
    let sealed = client.open("deposit", "cni-adulte", None).await?;
    hall.hands_show(station, Quality::Poor)?;
    let capture = client.start(&sealed, "empreintes", &reader, None, false).await?;
    client.until(&capture, |view| view.state == "waiting").await?;
    hall.hands_show(station, Quality::Good)?;
    let proxy = CaptureProxy::new(client.connection(), capture.clone()).await?;
    proxy.command("retry").await?;
    let (hands, _) = client.until(&capture, is_over).await?;
    assert_eq!(hands.state, "completed", "{hands:?}");
    hall.photo_shows(station)?;
    completed(&mut client, &sealed, "photo", &scanner, None).await?;
    hall.takes_items(&client, &sealed, "discarded").await?;
    hall.photo_shows(station)?;
    let again = sealed.dossier.replace_item("photo", &scanner, [].into()).await?;
    let (photo, _) = client.until(again.as_str(), is_over).await?;
    assert_eq!(photo.state, "completed", "{photo:?}");
    hall.nothing_stays(station, "discards")?;

    // Sealed and sent.
    hall.complete(station, &mut client, &sealed, &scanner).await?;
    hall.takes_items(&client, &sealed, "sealed").await?;
    sealed.dossier.seal().await?;
    hall.nothing_stays(station, "a seal")?;
    client.until_state(&sealed, "in-instruction").await?;

    // Cancelled: a capture between two hands, then a dossier with its items.
    let cancelled = client.open("deposit", "cni-adulte", None).await?;
    hall.hands_show(station, Quality::Poor)?;
    let capture = client
        .start(&cancelled, "empreintes", &reader, None, false)
        .await?;
    client.until(&capture, |view| view.state == "waiting").await?;
    let proxy = CaptureProxy::new(client.connection(), capture.clone()).await?;
    proxy.cancel().await?;
    client.until(&capture, is_over).await?;
    hall.page_shows(station, "FACTURE")?;
    completed(
        &mut client,
        &cancelled,
        "pieces",
        &scanner,
        Some("acte-naissance"),
    )
    .await?;
    hall.takes_items(&client, &cancelled, "cancelled").await?;
    cancelled.dossier.cancel().await?;
    hall.nothing_stays(station, "cancels")?;

    // Crashed: analyser and driver with prints in their memory, then the service with a draft.
    let crashed = client.open("deposit", "cni-adulte", None).await?;
    for who in ["recueil-analyse", "recueil-device-"] {
        hall.hands_show(station, Quality::Poor)?;
        let reader = client.device("fingerprint").await?;
        let capture = client.start(&crashed, "empreintes", &reader, None, false).await?;
        client.until(&capture, |view| view.state == "waiting").await?;
        for (pid, name) in relatives(station)? {
            if name.starts_with(who) {
                crash(pid)?;
            }
        }
        client.until(&capture, is_over).await?;
    }
    hall.photo_shows(station)?;
    completed(&mut client, &crashed, "photo", &scanner, None).await?;
    hall.takes_items(&client, &crashed, "crashed").await?;
    for name in ["recueild", "recueil-hostd"] {
        crash(station.pid(name)?)?;
    }
    station.kill_recueild()?;
    station.kill_hostd()?;
    station.start_hostd()?;
    station.start_recueild()?;
    hall.nothing_stays(station, "crashes")?;
    let client = Client::connect(&station.address(), "agent.dupont").await?;
    let adopted = client.adopt(&crashed.id).await?;
    assert_eq!(adopted.dossier.items().await?.len(), 1);
    hall.takes_items(&client, &adopted, "adopted").await?;
    hall.nothing_stays(station, "an adoption")?;

    hall.what_is_planted_is_found(station)?;
    cores.none_is_new(station)
}

/// What was shown, and where it is looked for.
struct Hall {
    images: Images,
    seed: Seed,
    needles: Needles,
}

/// A whole A4 page, and the areas of the procedure `cni-adulte`.
const PAGE: (Area, u32) = (Glass::A4, 300);
const PHOTO: (Area, u32) = (area(130, 150), 600);
const SIGNATURE: (Area, u32) = (area(105, 60), 300);

const fn area(width_mm: u32, height_mm: u32) -> Area {
    Area {
        x_um: 0,
        y_um: 0,
        width_um: width_mm * 1000,
        height_um: height_mm * 1000,
    }
}

fn glass((area, ppi): (Area, u32)) -> Glass {
    Glass {
        area,
        ppi,
        format: Format::Rgb24,
    }
}

impl Hall {
    fn shows(
        &mut self,
        station: &Station,
        device: &str,
        mut what: Value,
        picture: Picture,
        seed: u64,
    ) -> anyhow::Result<()> {
        what["seed"] = json!(seed);
        self.needles.pixels(&format!("pixels of {what}"), picture.pixels);
        station.show(device, &[what])
    }

    fn seed(&mut self) -> u64 {
        // JSON numbers of all readers hold this many bits.
        self.seed.draw() >> 12
    }

    /// Both hands, the right one first.
    fn hands_show(&mut self, station: &Station, quality: Quality) -> anyhow::Result<()> {
        let word = match quality {
            Quality::Good => "good",
            Quality::Poor => "poor",
        };
        for fingers in [[2, 3, 4, 5], [7, 8, 9, 10]] {
            let seed = self.seed();
            let laid = Laid {
                fingers: &fingers,
                seed,
                quality,
            };
            let picture = lay(&self.images.hands, &laid).picture;
            self.shows(station, "fp4", json!({"quality": word}), picture, seed)?;
            if quality == Quality::Poor {
                // The try ends with the first hand.
                break;
            }
        }
        Ok(())
    }

    fn photo_shows(&mut self, station: &Station) -> anyhow::Result<()> {
        let seed = self.seed();
        let portrait = self.images.portrait(None).context("a portrait")?;
        let picture = scan_photo(portrait, seed, &Variant::default(), &glass(PHOTO)).picture;
        self.shows(
            station,
            "flatbed",
            json!({"glass": {"kind": "photo"}}),
            picture,
            seed,
        )
    }

    /// Gives the picture's sides.
    fn page_shows(&mut self, station: &Station, title: &str) -> anyhow::Result<(u32, u32)> {
        let seed = self.seed();
        let page = Page {
            title: title.to_owned(),
            code: None,
        };
        let picture = scan_page(seed, &page, &glass(PAGE))?;
        let what = json!({"glass": {"kind": "page", "title": title}});
        let sides = (picture.width, picture.height);
        self.shows(station, "flatbed", what, picture, seed)?;
        Ok(sides)
    }

    fn signature_shows(&mut self, station: &Station) -> anyhow::Result<()> {
        let seed = self.seed();
        let picture = scan_signature(seed, &glass(SIGNATURE));
        self.shows(
            station,
            "flatbed",
            json!({"glass": {"kind": "signature"}}),
            picture,
            seed,
        )
    }

    /// What is missing of a dossier that has its prints and its photo.
    async fn complete(
        &mut self,
        station: &Station,
        client: &mut Client,
        dossier: &Followed,
        scanner: &str,
    ) -> anyhow::Result<()> {
        dossier.dossier.fetch_pre_demande("VALID12345").await?;
        dossier.dossier.set_field("motif", "premiere-demande").await?;
        self.page_shows(station, "QUITTANCE")?;
        completed(client, dossier, "pieces", scanner, Some("justificatif-domicile")).await?;
        dossier
            .dossier
            .record_decision("acte-naissance", "absent", "comedec")
            .await?;
        self.signature_shows(station)?;
        completed(client, dossier, "signature", scanner, None).await?;
        assert_eq!(dossier.dossier.missing().await?, []);
        Ok(())
    }

    /// The encoded form of each item, as an honest client gets it.
    async fn takes_items(&mut self, client: &Client, dossier: &Followed, when: &str) -> anyhow::Result<()> {
        for item in dossier.dossier.items().await? {
            let bytes = client.item(dossier, &item.name).await?;
            let name = format!("{} of a dossier that was {when}", item.name);
            // An item that was taken before would be shared with itself, and passed over.
            if self.needles.holds(&bytes) {
                continue;
            }
            self.needles.encoded(&name, bytes);
        }
        Ok(())
    }

    /// The search works on real processes, and what is looked for is what devices deliver: an empty platen, which a
    /// reader shows until a hand comes.
    async fn is_found_while_it_is_needed(
        &mut self,
        station: &Station,
        client: &mut Client,
        reader: &str,
    ) -> anyhow::Result<()> {
        let seed = self.seed();
        let laid = Laid {
            fingers: &[],
            seed,
            quality: Quality::Good,
        };
        let platen = lay(&self.images.hands, &laid).picture;
        self.shows(station, "fp4", json!({"wait_ms": 3_600_000}), platen, seed)?;
        let dossier = client.open("deposit", "cni-adulte", None).await?;
        let capture = client.start(&dossier, "empreintes", reader, None, false).await?;
        let deadline = Instant::now() + WAIT_MAX;
        let mut holders = Vec::new();
        while holders.is_empty() {
            anyhow::ensure!(
                Instant::now() < deadline,
                "a reader shows its platen, and nobody holds it"
            );
            for (pid, name) in relatives(station)? {
                // One that ends meanwhile holds nothing.
                if let Ok((found, _)) = self.needles.process(pid, &name) {
                    holders.extend(found.into_iter().map(|found| found.place));
                }
            }
        }
        say(&format!("while it is shown, a platen is in {holders:?}"))?;
        let proxy = CaptureProxy::new(client.connection(), capture.clone()).await?;
        proxy.cancel().await?;
        client.until(&capture, is_over).await?;
        dossier.dossier.cancel().await?;
        self.nothing_stays(station, "a cancelled preview")
    }

    fn nothing_stays(&mut self, station: &Station, after: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        let (pictures, windows) = self.needles.size();
        let mut found = Vec::new();
        let (mut files, mut file_bytes, mut memory_bytes) = (0, 0, 0);
        // CERT is not the station: it opens what it is sent.
        let root = station.folders().root();
        let (here, count, bytes) = self.needles.folder(root, &[root.join("cert")])?;
        found.extend(here);
        files += count;
        file_bytes += bytes;
        for path in temporary(station) {
            found.extend(self.needles.one_file(&path)?);
            files += 1;
        }
        let mut processes = 0;
        for (pid, name) in relatives(station)? {
            match self.needles.process(pid, &name) {
                Ok((here, bytes)) => {
                    found.extend(here);
                    memory_bytes += bytes;
                    processes += 1;
                }
                // A process that ended meanwhile, as those of a session do.
                Err(_ended) if !lives(pid) => {}
                Err(error) => return Err(error),
            }
        }
        say(&format!(
            "after {after}: {pictures} pictures, {windows} windows; {files} files of {file_bytes} bytes, {processes} \
             processes with {memory_bytes} bytes that they can write, in {:?}",
            begun.elapsed()
        ))?;
        anyhow::ensure!(processes >= 3, "the services run");
        anyhow::ensure!(found.is_empty(), "after {after}: {}", list(&found));
        Ok(())
    }

    /// Each kind, in a file of each folder and in the memory of a process: all are found.
    fn what_is_planted_is_found(&mut self, station: &Station) -> anyhow::Result<()> {
        let plants = self.needles.samples(WINDOW + PIXEL_STEP - 1);
        anyhow::ensure!(plants.len() == self.needles.size().0, "a sample of each picture");
        let root = station.folders().root();
        let planted = plants
            .iter()
            .flat_map(|(_, bytes)| [b"before".as_slice(), bytes, b"after"])
            .collect::<Vec<_>>()
            .concat();
        let folders = ["state", "ready", "courier", "run", "log", "host", "keys", "work"];
        for folder in folders {
            std::fs::write(root.join(folder).join("planted"), &planted)?;
        }
        let (found, _, _) = self.needles.folder(root, &[root.join("cert")])?;
        for folder in folders {
            let path = root.join(folder).join("planted");
            for (name, _) in &plants {
                anyhow::ensure!(
                    found
                        .iter()
                        .any(|one| one.what == *name && Path::new(&one.place) == path),
                    "{name} planted in {folder} is not found"
                );
            }
            std::fs::remove_file(path)?;
        }
        // `dd` holds what it is given until it has read all that it wants.
        let mut child = std::process::Command::new("dd")
            .args(["bs=1M", "count=2", "iflag=fullblock", "status=none"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()?;
        let mut input = child.stdin.take().context("a pipe was asked for")?;
        input.write_all(&planted)?;
        let deadline = Instant::now() + WAIT_MAX;
        let mut found = Vec::new();
        while found.len() < plants.len() && Instant::now() < deadline {
            found = self.needles.process(child.id(), "dd")?.0;
        }
        drop(input);
        child.wait()?;
        for (name, _) in &plants {
            anyhow::ensure!(
                found.iter().any(|one| one.what == *name),
                "{name} in memory is not found"
            );
        }
        Ok(())
    }
}

/// A machine under load needs no longer.
const WAIT_MAX: Duration = Duration::from_mins(1);

async fn completed(
    client: &mut Client,
    dossier: &Followed,
    step: &str,
    device: &str,
    document: Option<&str>,
) -> anyhow::Result<()> {
    let captured = client.capture(dossier, step, device, document).await?;
    anyhow::ensure!(captured.view.state == "completed", "{captured:?}");
    Ok(())
}

fn is_over(view: &recueil_bus::CaptureView) -> bool {
    matches!(view.state.as_str(), "completed" | "cancelled" | "failed")
}

/// The services, the hosts under hostd, and the analysers, which the fixture starts as children of this process.
fn relatives(station: &Station) -> anyhow::Result<Vec<(u32, String)>> {
    let services = station.pids();
    let mut all: Vec<(u32, String)> = services.iter().map(|(name, pid)| (*pid, name.clone())).collect();
    let parents: Vec<u32> = services.iter().map(|(_, pid)| *pid).collect();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((head, rest)) = stat.rsplit_once(')') else {
            continue;
        };
        let name = head.split_once('(').map(|(_, name)| name).unwrap_or_default();
        let mut words = rest.split_whitespace();
        // One that has ended has no memory, and is here until it is waited for.
        let (Some("R" | "S" | "D" | "T"), Some(parent)) = (words.next(), words.next()) else {
            continue;
        };
        let parent: u32 = parent.parse()?;
        let is_host = parents.contains(&parent);
        let is_analyser = parent == std::process::id() && name.starts_with("recueil-analyse");
        if is_host || is_analyser {
            all.push((pid, name.to_owned()));
        }
    }
    Ok(all)
}

fn lives(pid: u32) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"));
    maps.is_ok_and(|maps| !maps.is_empty())
}

/// Files outside the station's folders that a service may have made.
fn temporary(station: &Station) -> Vec<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let users = station.users();
    let services = [users.recueil, users.host, users.analyser, users.courier].map(|user| user.0);
    let mut files = Vec::new();
    for folder in ["/tmp", "/var/tmp", "/dev/shm", "/run"] {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        for entry in entries.flatten() {
            if let Ok(metadata) = entry.metadata()
                && metadata.is_file()
                && services.contains(&metadata.uid())
            {
                files.push(entry.path());
            }
        }
    }
    files
}

/// As a mistake in the program would end it (the runtime of Rust takes a first SIGSEGV from outside for nothing).
fn crash(pid: u32) -> anyhow::Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("a pid")?;
    Ok(kill_process(pid, Signal::ABORT)?)
}

/// Cores as large as they like, for all that this process starts.
fn allow_cores() -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    setrlimit(
        Resource::Core,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?;
    Ok(())
}

/// Where cores would be written: each service works in a folder of its own where everybody may write.
struct Cores {
    before: Vec<PathBuf>,
}

impl Cores {
    fn look(station: &Station) -> Self {
        Self {
            before: Self::there(station),
        }
    }

    fn there(station: &Station) -> Vec<PathBuf> {
        let mut cores = Vec::new();
        for folder in [
            station.folders().path("work"),
            PathBuf::from("/var/crash"),
            PathBuf::from("/var/lib/systemd/coredump"),
        ] {
            let Ok(entries) = std::fs::read_dir(folder) else {
                continue;
            };
            cores.extend(entries.flatten().map(|entry| entry.path()));
        }
        cores.sort();
        cores
    }

    fn none_is_new(&self, station: &Station) -> anyhow::Result<()> {
        let after = Self::there(station);
        anyhow::ensure!(after == self.before, "cores were written: {after:?}");
        let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern")?;
        if pattern.starts_with(['|', '/']) || getrlimit(Resource::Core).current == Some(0) {
            return skipped(&format!(
                "that a core would have been written cannot be shown here: core_pattern is {pattern:?}"
            ));
        }
        // A program that does not guard itself leaves one, in the same folder and as the same user.
        let mut command = station
            .users()
            .command(station.users().recueil, Path::new("/bin/sh"));
        command
            .args(["-c", "kill -ABRT $$"])
            .current_dir(station.folders().path("work"));
        command.status()?;
        let control = Self::there(station);
        anyhow::ensure!(
            control.len() == after.len() + 1,
            "a control leaves a core: {control:?}"
        );
        Ok(())
    }
}

fn jiffies() -> anyhow::Result<u32> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(now.subsec_nanos())
}

fn list(found: &[Found]) -> String {
    let lines = found
        .iter()
        .take(20)
        .map(|one| format!("{} in {}", one.what, one.place));
    format!("{} found: {}", found.len(), lines.collect::<Vec<_>>().join("; "))
}

fn skipped(why: &str) -> anyhow::Result<()> {
    say(&format!("SKIPPED: {why}"))
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(std::io::stderr().write_all(format!("{line}\n").as_bytes())?)
}
