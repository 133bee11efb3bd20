//! From the announcement of a parcel to R1.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use ring::digest;
use ring::rand::SecureRandom;

use super::{Desk, Dossier, Progress, Record, Said, is_file};
use crate::disk;
use crate::error::{At, Error};
use crate::hex;
use crate::problem::Problem;

/// What a station learns about its dossier.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Announced {
    #[serde(skip)]
    pub(crate) is_new: bool,
    state: Progress,
    upload: Option<String>,
    offset: u64,
}

/// An upload in the hands of one request at a time.
#[derive(Debug)]
pub(crate) struct Upload {
    id: String,
    /// Bytes announced.
    pub(crate) size: u64,
    _busy: tokio::sync::OwnedMutexGuard<()>,
}

impl Desk {
    /// PUT: idempotent, and never another parcel for the same dossier.
    pub(crate) fn announce(
        &self,
        station: &str,
        id: &str,
        size: u64,
        sha256: &str,
    ) -> Result<Announced, Problem> {
        let mut state = self.state();
        if let Some(known) = state.dossiers.get(id) {
            if known.record.station != station {
                return Err(Problem::NotYours);
            }
            if known.record.size != size || known.record.sha256 != sha256 {
                state.alarm(format!(
                    "station {station} announced other bytes for dossier {id}"
                ));
                return Err(Problem::Conflict);
            }
            return Ok(self.announced(id, known, false)?);
        }
        let record = Record {
            station: station.to_owned(),
            size,
            sha256: sha256.to_owned(),
            upload: token()?,
        };
        disk::write_json(&self.record_path(id), &record)?;
        let dossier = Dossier::new(record);
        let announced = self.announced(id, &dossier, true)?;
        state.dossiers.insert(id.to_owned(), dossier);
        Ok(announced)
    }

    fn announced(&self, id: &str, dossier: &Dossier, is_new: bool) -> Result<Announced, Error> {
        let progress = dossier.progress();
        let receiving = progress == Progress::Receiving;
        Ok(Announced {
            is_new,
            state: progress,
            upload: receiving.then(|| format!("/v1/uploads/{}", dossier.record.upload)),
            offset: if receiving {
                self.received(id)?
            } else {
                dossier.record.size
            },
        })
    }

    /// The lock that an upload's next request waits for.
    pub(crate) fn upload_lock(
        &self,
        station: &str,
        token: &str,
    ) -> Result<(String, Arc<tokio::sync::Mutex<()>>), Problem> {
        let state = self.state();
        let found = state
            .dossiers
            .iter()
            .find(|(_id, dossier)| dossier.record.upload == token);
        let (id, dossier) = found.ok_or(Problem::Unknown("no such upload"))?;
        if dossier.record.station != station {
            return Err(Problem::NotYours);
        }
        Ok((id.clone(), dossier.busy.clone()))
    }

    /// The same lock by the dossier's id, for the commit.
    pub(crate) fn dossier_lock(
        &self,
        station: &str,
        id: &str,
    ) -> Result<Arc<tokio::sync::Mutex<()>>, Problem> {
        self.state().own(station, id).map(|dossier| dossier.busy.clone())
    }

    /// The upload, once its lock is held.
    pub(crate) fn upload(
        &self,
        id: String,
        busy: tokio::sync::OwnedMutexGuard<()>,
    ) -> Result<Upload, Problem> {
        let state = self.state();
        let dossier = state
            .dossiers
            .get(&id)
            .ok_or(Problem::Unknown("no such upload"))?;
        let size = dossier.record.size;
        Ok(Upload {
            id,
            size,
            _busy: busy,
        })
    }

    /// Bytes that arrived, which the file's length says.
    pub(crate) fn offset(&self, upload: &Upload) -> Result<u64, Error> {
        self.received(&upload.id)
    }

    fn received(&self, id: &str) -> Result<u64, Error> {
        for path in [self.parcel_path(id), self.part_path(id)] {
            match fs::metadata(&path) {
                Ok(metadata) => return Ok(metadata.len()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).at(path),
            }
        }
        Ok(0)
    }

    /// Opens the upload to write at its end, where `offset` must be.
    pub(crate) fn writer(&self, upload: &Upload, offset: u64) -> Result<File, Problem> {
        if self.offset(upload)? != offset {
            return Err(Problem::Offset);
        }
        if is_file(&self.parcel_path(&upload.id)) {
            // Everything is here; the only PATCH that fits is the empty one, which writes nothing.
            return Ok(File::open(self.parcel_path(&upload.id)).at(self.parcel_path(&upload.id))?);
        }
        let path = self.part_path(&upload.id);
        Ok(File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .at(path)?)
    }

    /// Adds bytes that arrived.
    pub(crate) fn append(&self, upload: &Upload, writer: &mut File, bytes: &[u8]) -> Result<(), Error> {
        writer.write_all(bytes).at(self.part_path(&upload.id))
    }

    /// Commit, with the dossier's lock held: digest compared, file and folder synced, R1 written.
    pub(crate) fn commit(&self, station: &str, id: &str, sha256: &str) -> Result<Arc<[u8]>, Problem> {
        let record = {
            let mut state = self.state();
            let dossier = state.own(station, id)?;
            if dossier.record.sha256 != sha256 {
                state.alarm(format!(
                    "station {station} committed other bytes for dossier {id}"
                ));
                return Err(Problem::Conflict);
            }
            if let Some(r1) = &dossier.r1 {
                return Ok(r1.clone());
            }
            dossier.record.clone()
        };
        if self.received(id)? != record.size {
            return Err(Problem::Incomplete);
        }
        let (part, parcel) = (self.part_path(id), self.parcel_path(id));
        // A crash may have come between the rename and R1.
        let from = if is_file(&parcel) { &parcel } else { &part };
        let mut file = File::options().read(true).write(true).open(from).at(from)?;
        if file_sha256(&mut file).at(from)? != record.sha256 {
            file.set_len(0).and_then(|()| file.sync_all()).at(from)?;
            if from == &parcel {
                disk::rename(&parcel, &part)?;
            }
            return Err(Problem::Digest);
        }
        file.sync_all().at(from)?;
        disk::rename(from, &parcel)?;
        let r1 = self.issue(&mut self.state(), id, Said::stored())?;
        self.work.notify_one();
        Ok(r1)
    }

    /// Lets every unfinished upload expire: its bytes are gone, its address is another.
    pub(crate) fn expire_uploads(&self) -> Result<(), Error> {
        let mut state = self.state();
        for (id, dossier) in &mut state.dossiers {
            if dossier.progress() == Progress::Receiving && !is_file(&self.parcel_path(id)) {
                let part = self.part_path(id);
                if is_file(&part) {
                    fs::remove_file(&part).at(&part)?;
                }
                dossier.record.upload = token()?;
                disk::write_json(&self.record_path(id), &dossier.record)?;
            }
        }
        Ok(())
    }
}

/// An upload's address: random, so that nobody guesses it and it says nothing.
fn token() -> Result<String, Error> {
    let mut bytes = [0_u8; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_random| Error::Crypto("draw an address"))?;
    Ok(hex::text(&bytes))
}

fn file_sha256(file: &mut File) -> std::io::Result<String> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::text(context.finish().as_ref())),
            len => context.update(buffer.get(..len).unwrap_or_default()),
        }
    }
}
