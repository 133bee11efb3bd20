//! What lanes and look-ups tell, and what follows from it.

use std::time::Duration;

use recueil_dossier::{DossierId, ReceiptKind};
use recueil_wire::courier::{FromCourier, Stage};
use tokio::time::Instant;

use super::Desk;
use crate::cert::Failure;
use crate::lanes::{Event, Trouble};
use crate::{Error, patience};

/// A CERT that keeps no answer back is not asked more often than this.
const RECEIPT_PAUSE: Duration = Duration::from_secs(1);

impl Desk {
    pub(crate) fn learn(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Sent(id, sent) => {
                self.line_works();
                if let Some(parcel) = self.parcels.get_mut(&id) {
                    (parcel.sent, parcel.failures) = (sent, 0);
                }
                self.tell_progress(id);
            }
            Event::SendingEnded(id, Ok(())) => {
                self.sending.busy = false;
                self.line_works();
                self.reached(id, Stage::Stored, ReceiptKind::Stored);
            }
            Event::SendingEnded(id, Err(trouble)) => {
                self.sending.busy = false;
                self.suffer(id, trouble)?;
            }
            Event::AskingEnded(id, Ok(Some(kind))) => {
                self.asking.busy = false;
                self.line_works();
                self.reached(id, Stage::Ended, kind);
            }
            Event::AskingEnded(id, Ok(None)) => {
                self.asking.busy = false;
                self.line_works();
                if let Some(parcel) = self.parcels.get_mut(&id) {
                    parcel.due = Instant::now() + RECEIPT_PAUSE;
                }
            }
            Event::AskingEnded(id, Err(trouble)) => {
                self.asking.busy = false;
                self.suffer(id, trouble)?;
            }
            Event::LookedUp(Ok(())) => {
                self.line_works();
                // CERT answered somebody, so nobody need wait for it any longer.
                self.line_due = Instant::now();
            }
            Event::LookedUp(Err(failure)) => self.line_fails(&failure),
        }
        Ok(())
    }

    /// A receipt is in `receipts/`.
    fn reached(&mut self, id: DossierId, stage: Stage, kind: ReceiptKind) {
        if let Some(parcel) = self.parcels.get_mut(&id) {
            (parcel.stage, parcel.sent, parcel.failures) = (stage, parcel.total, 0);
            parcel.due = Instant::now();
        }
        tracing::info!(dossier = %id, ?kind, "receipt");
        self.tell(&FromCourier::Receipt { dossier: id, kind });
        self.tell_stage(id);
    }

    fn line_works(&mut self) {
        (self.reachable, self.trouble, self.line_failures) = (Some(true), None, 0);
    }

    fn line_fails(&mut self, failure: &Failure) {
        let text = match failure {
            Failure::Unreachable(text) | Failure::Refused(text) | Failure::Protocol(text) => text.clone(),
            Failure::Busy(_) => "CERT is busy; it is tried again".to_owned(),
            _ => return,
        };
        self.reachable = Some(!matches!(failure, Failure::Unreachable(_)));
        if self.trouble.as_ref() != Some(&text) {
            tracing::warn!("{text}");
        }
        self.trouble = Some(text);
    }

    /// What follows from a failure, by its kind.
    fn suffer(&mut self, id: DossierId, trouble: Trouble) -> Result<(), Error> {
        let now = Instant::now();
        let (base, max) = (self.config.retry_base(), self.config.retry_max());
        let failures = self
            .parcels
            .get(&id)
            .map_or(1, |parcel| parcel.failures.saturating_add(1));
        let mut due = now + patience::wait(failures, base, max);
        let mut stopped = None;
        if let Some(parcel) = self
            .parcels
            .get_mut(&id)
            .filter(|parcel| parcel.stage == Stage::Sending)
        {
            parcel.stage = Stage::Waiting;
        }
        match trouble {
            Trouble::Fatal(error) => return Err(error),
            Trouble::Gone => return self.look(),
            Trouble::Disk(error) => {
                tracing::error!(dossier = %id, %error, "a parcel cannot be read, or its receipt not written");
                self.trouble = Some(format!(
                    "the disk fails on parcel {id} or its receipt: look at free space and at the rights of the folders"
                ));
            }
            Trouble::Cert(failure) => {
                self.line_fails(&failure);
                match failure {
                    Failure::Unreachable(_) | Failure::Busy(_) => {
                        self.line_failures = self.line_failures.saturating_add(1);
                        let asked = if let Failure::Busy(Some(asked)) = failure {
                            asked
                        } else {
                            Duration::ZERO
                        };
                        // What CERT asks for is the least; the rest spreads the stations.
                        self.line_due = now + asked + patience::wait(self.line_failures, base, max);
                        due = now;
                    }
                    Failure::Refused(_) => self.line_due = now + max,
                    Failure::Conflict(text) => {
                        tracing::error!(dossier = %id, "{text}");
                        stopped = Some(text);
                    }
                    Failure::NotFound | Failure::Expired => self.resend(id),
                    Failure::TooLarge => {
                        let text =
                            "CERT does not take a parcel this large: keep the station as it is and call CERT";
                        tracing::error!(dossier = %id, "{text}");
                        stopped = Some(text.to_owned());
                    }
                    Failure::Offset | Failure::Digest | Failure::Protocol(_) => {}
                }
            }
        }
        if let Some(parcel) = self.parcels.get_mut(&id) {
            (parcel.failures, parcel.due, parcel.stopped) = (failures, due, stopped);
        }
        self.tell_stage(id);
        Ok(())
    }

    /// CERT does not know a dossier that it acknowledged: the same bytes are sent again, under the same id.
    fn resend(&mut self, id: DossierId) {
        tracing::error!(dossier = %id, "CERT does not know a parcel that it has acknowledged; it is sent again");
        if let Some(parcel) = self.parcels.get_mut(&id) {
            (parcel.stage, parcel.sent) = (Stage::Waiting, 0);
        }
    }
}
