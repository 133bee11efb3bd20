//! From R1 to R2 or the refusal.

use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;

use super::{Demande, Desk, Ingested, Progress, Said, State, demande_number};
use crate::disk;
use crate::error::{At, Error, Refusal};
use crate::judge::{Judged, judge};
use crate::manifest::Kind;
use crate::predemande::PreDemande;

/// What a demande's status may be.
pub(crate) const STATUSES: [&str; 6] = [
    "in-instruction",
    "complement",
    "production",
    "available",
    "handed-over",
    "refused",
];

impl Desk {
    /// A dossier that is stored and not ended; none while ingestion is held.
    pub(crate) fn next_to_ingest(&self) -> Option<String> {
        let state = self.state();
        if state.orders.hold || state.broken {
            return None;
        }
        let waiting = |(id, dossier): (&String, &super::Dossier)| {
            (dossier.progress() == Progress::Stored).then(|| id.clone())
        };
        state.dossiers.iter().find_map(waiting)
    }

    /// Judges one stored dossier and writes the receipt that ends it.
    pub(crate) fn ingest(&self, id: &str) -> Result<(), Error> {
        let (station, refuse) = {
            let mut state = self.state();
            let Some(dossier) = state.dossiers.get(id) else {
                return Ok(());
            };
            let station = dossier.record.station.clone();
            (station, std::mem::take(&mut state.orders.refuse_next))
        };
        let path = self.parcel_path(id);
        let parcel = fs::read(&path).at(path)?;
        let verdict = if refuse {
            Err(Refusal::from("refused by order of the control socket"))
        } else {
            judge(&parcel, id, &station, &self.keys, Timestamp::now())
        };
        drop(parcel);

        let mut state = self.state();
        let verdict = verdict.and_then(|judged| Ok((state.demande_of(id, &judged)?, judged)));
        let said = match verdict {
            Ok((number, judged)) => {
                self.take(&mut state, id, &station, &number, &judged)?;
                Said::ingested(&judged, number)
            }
            Err(Refusal(reason)) => {
                tracing::info!(dossier = id, reason, "refused");
                Said::refused(reason)
            }
        };
        self.issue(&mut state, id, said).map(drop)
    }

    /// Everything that R2 will stand for; written before it, and the same if it is written again.
    fn take(
        &self,
        state: &mut State,
        id: &str,
        station: &str,
        number: &str,
        judged: &Judged,
    ) -> Result<(), Error> {
        match judged.kind {
            Kind::Deposit if !state.demandes.contains_key(number) => {
                let demande = Demande {
                    dossier: id.to_owned(),
                    station: station.to_owned(),
                    status: "in-instruction".to_owned(),
                    handed_over_by: None,
                };
                self.store_demande(state, number, demande)?;
            }
            Kind::HandOver => {
                if let Some(mut demande) = state.demandes.get(number).cloned() {
                    "handed-over".clone_into(&mut demande.status);
                    demande.handed_over_by = Some(id.to_owned());
                    self.store_demande(state, number, demande)?;
                }
            }
            Kind::Deposit | Kind::Complement => {}
        }
        if let (Kind::Deposit, Some(pre_demande)) = (judged.kind, &judged.pre_demande)
            && let Some(mut pre_demande) = PreDemande::load(&self.dir, pre_demande)?
        {
            "consumed".clone_into(&mut pre_demande.status);
            pre_demande.store(&self.dir)?;
        }

        let repeated = state.dossiers.iter().any(|(other, dossier)| {
            let sequence = dossier.judged.as_ref().map(|judged| judged.sequence);
            other != id && dossier.record.station == station && sequence == Some(judged.sequence)
        });
        if repeated {
            state.alarm(format!(
                "station {station} used sequence {} twice, now in {id}",
                judged.sequence
            ));
        }
        let ingested = Ingested {
            kind: judged.kind,
            sequence: judged.sequence,
            demande: number.to_owned(),
            manifest_sha256: judged.manifest_sha256.clone(),
        };
        disk::write_json(&self.ingested_path(id), &ingested)?;
        if let Some(dossier) = state.dossiers.get_mut(id) {
            dossier.judged = Some(ingested);
        }
        Ok(())
    }

    pub(super) fn ingested_path(&self, id: &str) -> PathBuf {
        self.store("ingested").join(format!("{id}.json"))
    }
}

impl State {
    /// The demande that a dossier opens or belongs to.
    fn demande_of(&self, id: &str, judged: &Judged) -> Result<String, Refusal> {
        let Some(number) = &judged.demande else {
            return Ok(demande_number(id));
        };
        let demande = self
            .demandes
            .get(number)
            .ok_or("CERT does not know the demande that dossier.json names")?;
        let is_this_one = demande.handed_over_by.as_deref() == Some(id);
        if judged.kind == Kind::HandOver && demande.status != "available" && !is_this_one {
            return Err("the title of this demande is not available for hand-over".into());
        }
        Ok(number.clone())
    }
}
