//! What lanes and look-ups tell, and what follows from it.

use std::time::Duration;

use recueil_dossier::{DossierId, ReceiptKind};
use recueil_wire::courier::{FromCourier, Stage};
use tokio::time::Instant;

use super::{Desk, Parcel};
use crate::cert::Failure;
use crate::lanes::{Event, Trouble};
use crate::{Error, patience};

/// A CERT that keeps no answer back is not asked more often than this,
const RECEIPT_PAUSE: Duration = Duration::from_secs(1);
/// and more seldom each time, up to about a minute.
const RECEIPT_DOUBLINGS_MAX: u32 = 6;

impl Desk {
    pub(crate) fn learn(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Sent(id, sent) => {
                self.line_works();
                if let Some(parcel) = self.parcels.get_mut(&id) {
                    (parcel.sent, parcel.failures, parcel.trouble) = (sent, 0, None);
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
                self.suffer(id, trouble, Parcel::set_send_due)?;
            }
            Event::AskingEnded(id, Ok(Some(kind))) => {
                self.asking.busy = false;
                self.line_works();
                self.reached(id, Stage::Ended, kind);
            }
            Event::AskingEnded(id, Ok(None)) => {
                self.asking.busy = false;
                self.line_works();
                self.nothing_yet(id);
            }
            Event::AskingEnded(id, Err(trouble)) => {
                self.asking.busy = false;
                self.suffer(id, trouble, Parcel::set_ask_due)?;
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

    /// CERT has not decided. Where it does not keep its answer back for as long as it may, it is asked more and more
    /// seldom.
    fn nothing_yet(&mut self, id: DossierId) {
        let (begun, wait) = self.asked;
        let early = begun.elapsed() < wait / 2 || wait < RECEIPT_PAUSE;
        if let Some(parcel) = self.parcels.get_mut(&id) {
            parcel.unanswered = if early {
                parcel.unanswered.saturating_add(1)
            } else {
                0
            };
            parcel.due = Instant::now() + receipt_pause(parcel.unanswered);
            (parcel.failures, parcel.trouble) = (0, None);
        }
    }

    /// A receipt is in `receipts/`.
    fn reached(&mut self, id: DossierId, stage: Stage, kind: ReceiptKind) {
        if let Some(parcel) = self.parcels.get_mut(&id) {
            // R1 that was fetched again may come after the end.
            if parcel.stage != Stage::Ended {
                parcel.stage = stage;
                parcel.due = Instant::now();
            }
            (parcel.sent, parcel.failures, parcel.trouble) = (parcel.total, 0, None);
            parcel.disbelief = None;
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
            Failure::Unreachable(_) | Failure::Refused(_) | Failure::Protocol(_) | Failure::Busy(_) => {
                failure.text()
            }
            _ => return,
        };
        self.reachable = Some(!matches!(failure, Failure::Unreachable(_)));
        if self.trouble.as_ref() != Some(&text) {
            tracing::warn!("{text}");
        }
        self.trouble = Some(text);
    }

    /// What follows from a failure, by its kind.
    fn suffer(
        &mut self,
        id: DossierId,
        trouble: Trouble,
        set_due: fn(&mut Parcel, Instant),
    ) -> Result<(), Error> {
        let now = Instant::now();
        let (base, max) = (self.config.retry_base(), self.config.retry_max());
        let failures = self
            .parcels
            .get(&id)
            .map_or(1, |parcel| parcel.failures.saturating_add(1));
        let mut due = now + patience::wait(failures, base, max);
        let mut stopped = false;
        let text = match &trouble {
            Trouble::Cert(failure) => Some(failure.text()),
            Trouble::Disk(_) => Some(format!(
                "the disk fails on parcel {id} or its receipt: look at free space and at the rights of the folders"
            )),
            Trouble::Gone | Trouble::Fatal(_) => None,
        };
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
                self.trouble.clone_from(&text);
            }
            Trouble::Cert(failure) => {
                self.line_fails(&failure);
                match failure {
                    // The whole line waits, and whoever failed least goes first then.
                    Failure::Unreachable(_) | Failure::Busy(_) | Failure::Refused(_) => {
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
                    Failure::Conflict(text) => {
                        tracing::error!(dossier = %id, "{text}");
                        stopped = true;
                    }
                    Failure::NotFound | Failure::Expired => self.resend(id),
                    Failure::TooLarge | Failure::NotYours(_) => {
                        tracing::error!(dossier = %id, "{}", text.as_deref().unwrap_or_default());
                        due = now + max + patience::wait(1, base, max);
                    }
                    Failure::Offset | Failure::Digest | Failure::Protocol(_) => {}
                }
            }
        }
        if let Some(parcel) = self.parcels.get_mut(&id) {
            (parcel.failures, parcel.stopped, parcel.trouble) = (failures, stopped, text);
            set_due(parcel, due);
        }
        self.tell_stage(id);
        Ok(())
    }

    /// `recueild` does not believe a receipt. It is taken away, and CERT asked for another: the same question has
    /// one true answer, whoever gave the wrong one.
    pub(super) fn receipt_refused(&mut self, id: DossierId, kind: ReceiptKind, sha256: &str, why: &str) {
        match self.folders.drop_receipt(id, kind, sha256) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::error!(dossier = %id, %error, "a receipt that is not believed cannot be taken away");
                return;
            }
        }
        tracing::error!(dossier = %id, ?kind, why, "CERT's receipt is not believed; CERT is asked again");
        let (base, max) = (self.config.retry_base(), self.config.retry_max());
        if let Some(parcel) = self.parcels.get_mut(&id) {
            parcel.refusals = parcel.refusals.saturating_add(1);
            let due = Instant::now() + patience::wait(parcel.refusals, base, max);
            match (kind, parcel.stage) {
                (ReceiptKind::Stored, Stage::Stored) => parcel.r1_due = Some(due),
                (ReceiptKind::Ingested | ReceiptKind::Refused, Stage::Ended) => {
                    (parcel.stage, parcel.due) = (Stage::Stored, due);
                }
                _ => {}
            }
            parcel.disbelief = Some(format!(
                "CERT's receipt is not believed ({why}); the parcel is kept and CERT asked again; call CERT if it stays so"
            ));
        }
        self.tell_stage(id);
    }

    /// CERT does not know a dossier that it acknowledged: the same bytes are sent again, under the same id.
    fn resend(&mut self, id: DossierId) {
        tracing::error!(dossier = %id, "CERT does not know a parcel that it has acknowledged; it is sent again");
        if let Some(parcel) = self.parcels.get_mut(&id) {
            (parcel.stage, parcel.sent) = (Stage::Waiting, 0);
        }
    }
}

/// How long CERT is left alone about a receipt after so many answers in a row that came early and said nothing.
fn receipt_pause(unanswered: u32) -> Duration {
    RECEIPT_PAUSE * (1 << unanswered.saturating_sub(1).min(RECEIPT_DOUBLINGS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cert_that_keeps_nothing_back_is_asked_more_and_more_seldom() {
        let pauses = [0, 1, 2, 3, 7, 8, u32::MAX].map(|times| receipt_pause(times).as_secs());
        assert_eq!(pauses, [1, 1, 2, 4, 64, 64, 64]);
    }
}
