//! Taking up again what lies in the folder, after an orderly end or any other.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Mutex;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use tokio::sync::{Notify, watch};

use super::{Desk, Dossier, Ingested, Record, State};
use crate::disk;
use crate::error::{At, Error};
use crate::hex;
use crate::keys::Keys;
use crate::receipt::Kind;

impl Desk {
    /// Reads everything under `dir`.
    pub(crate) fn load(dir: &Path) -> Result<Self, Error> {
        let desk = Self {
            _lock: lock(dir)?,
            dir: dir.to_path_buf(),
            keys: Keys::load(dir)?,
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            work: Notify::new(),
        };
        for folder in ["dossiers", "parcels", "receipts", "demandes", "ingested"] {
            disk::make_dir(&desk.store(folder))?;
        }
        disk::make_dir(&dir.join("pre-demandes"))?;
        let mut state = State::default();
        desk.load_dossiers(&mut state)?;
        desk.load_receipts(&mut state)?;
        *desk.state() = state;
        // What was stored and not ended is ingested now.
        desk.work.notify_one();
        Ok(desk)
    }

    fn load_dossiers(&self, state: &mut State) -> Result<(), Error> {
        for id in disk::names(&self.store("dossiers"), ".json")? {
            let path = self.record_path(&id);
            let record: Record = disk::read_json(&path)?.ok_or(Error::Store(path))?;
            let mut dossier = Dossier::new(record);
            dossier.judged = disk::read_json::<Ingested>(&self.ingested_path(&id))?;
            state.dossiers.insert(id, dossier);
        }
        for number in disk::names(&self.store("demandes"), ".json")? {
            let path = self.store("demandes").join(format!("{number}.json"));
            let demande = disk::read_json(&path)?.ok_or(Error::Store(path))?;
            state.demandes.insert(number, demande);
        }
        Ok(())
    }

    /// Names sort by serial number, so that each chain is read in its order.
    fn load_receipts(&self, state: &mut State) -> Result<(), Error> {
        for name in disk::names(&self.store("receipts"), ".p7s")? {
            let path = self.store("receipts").join(format!("{name}.p7s"));
            let parsed = name.split_once('-').and_then(|(serial, rest)| {
                let (id, ending) = rest.rsplit_once('.')?;
                Some((serial.parse::<u64>().ok()?, id, Kind::of_ending(ending)?))
            });
            let Some((serial, id, kind)) = parsed else {
                return Err(Error::Store(path));
            };
            let Some(dossier) = state.dossiers.get_mut(id) else {
                return Err(Error::Store(path));
            };
            let bytes: std::sync::Arc<[u8]> = fs::read(&path).at(path)?.into();
            state.serial = serial;
            state
                .chains
                .insert(dossier.record.station.clone(), hex::sha256(&bytes));
            match kind {
                Kind::R1 => dossier.r1 = Some(bytes),
                Kind::R2 | Kind::Reject => dossier.end = Some((kind, bytes)),
            }
        }
        Ok(())
    }
}

/// Two servers on one folder would give the same serial number twice.
fn lock(dir: &Path) -> Result<File, Error> {
    disk::make_dir(&dir.join("store"))?;
    let path = dir.join("store/lock");
    let file = File::options().create(true).append(true).open(&path).at(&path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(Error::Served(dir.to_path_buf())),
        Err(error) => Err(error).at(path),
    }
}
