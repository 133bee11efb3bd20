//! What `recueild` asks, and what it is told.

use recueil_dossier::DossierId;
use recueil_wire::courier::{Answer, Call, Failure, FailureCode, FromCourier, Progress, Request};
use tokio::time::Instant;

use super::{Desk, Parcel};
use crate::Error;
use crate::lanes::Event;
use crate::lookups::{NOT_CONFIGURED, look_up};
use crate::socket::{Heard, Voice};

/// Parcels named in one answer: what one message holds.
const TOLD_MAX: usize = 100;
/// Characters of a trouble that is told.
const TROUBLE_MAX: usize = 300;

impl Desk {
    pub(crate) fn hear(&mut self, heard: Heard) -> Result<(), Error> {
        match heard {
            Heard::Joined(voice) => {
                self.voices.push(voice);
                let parcels: Vec<_> = self.parcels.keys().copied().collect();
                for id in parcels {
                    self.tell_progress(id);
                }
            }
            Heard::Asked(Request { id, call: Call::Look }, voice) => {
                self.look()?;
                // Somebody at the counter waits: the next try is now, though the next wait is no shorter.
                self.line_due = Instant::now();
                self.answer(id, Ok(Answer::Done), voice);
            }
            Heard::Asked(Request { id, call: Call::Line }, voice) => {
                let answer = self.line();
                self.answer(id, Ok(answer), voice);
            }
            Heard::Asked(
                Request {
                    id,
                    call:
                        Call::ReceiptRefused {
                            dossier,
                            kind,
                            sha256,
                            why,
                        },
                },
                voice,
            ) => {
                self.receipt_refused(dossier, kind, &sha256, &why);
                self.answer(id, Ok(Answer::Done), voice);
            }
            Heard::Asked(Request { id, call }, voice) => self.look_up(id, call, voice),
        }
        Ok(())
    }

    fn look_up(&mut self, id: u64, call: Call, voice: Voice) {
        let Some(endpoint) = self.endpoint.clone() else {
            let text = NOT_CONFIGURED.to_owned();
            return self.answer(
                id,
                Err(Failure {
                    code: FailureCode::NotConfigured,
                    text,
                }),
                voice,
            );
        };
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let text = "too many questions to CERT at once: try again".to_owned();
            return self.answer(
                id,
                Err(Failure {
                    code: FailureCode::Unreachable,
                    text,
                }),
                voice,
            );
        };
        let events = self.events.clone();
        while self.lookups.try_join_next().is_some() {}
        self.lookups.spawn(async move {
            let (reply, line) = look_up(endpoint, call).await;
            voice.answer(id, reply).await;
            drop(place);
            if events.send(Event::LookedUp(line)).await.is_err() {
                tracing::debug!("the courier ends");
            }
        });
    }

    fn answer(&mut self, id: u64, answer: Result<Answer, Failure>, voice: Voice) {
        while self.lookups.try_join_next().is_some() {}
        self.lookups
            .spawn(async move { voice.answer(id, (answer, None)).await });
    }

    fn line(&self) -> Answer {
        Answer::Line {
            reachable: self.reachable,
            trouble: self.worst(),
            parcels: self
                .parcels
                .keys()
                .filter_map(|id| self.progress(*id))
                .take(TOLD_MAX)
                .collect(),
        }
    }

    /// The trouble that somebody must see to first.
    fn worst(&self) -> Option<String> {
        let of_parcels = |which: fn(&Parcel) -> bool| {
            let mut parcels = self.parcels.values().filter(|parcel| which(parcel));
            parcels.find_map(Parcel::told).cloned()
        };
        of_parcels(|parcel| parcel.stopped)
            .or_else(|| self.trouble.clone())
            .or_else(|| of_parcels(|_any| true))
            .or_else(|| self.endpoint.as_ref()?.clock_trouble())
    }

    fn progress(&self, id: DossierId) -> Option<Progress> {
        self.parcels.get(&id).map(|parcel| Progress {
            dossier: id,
            sent: parcel.sent,
            total: parcel.total,
            stage: parcel.stage,
            failures: match parcel.disbelief {
                Some(_) => parcel.failures.saturating_add(parcel.refusals),
                None => parcel.failures,
            },
            trouble: parcel.told().map(|text| text.chars().take(TROUBLE_MAX).collect()),
        })
    }

    pub(super) fn tell_progress(&mut self, id: DossierId) {
        if let Some(progress) = self.progress(id) {
            self.tell(&FromCourier::Progress(progress));
        }
    }

    /// Tells progress, and writes it for whoever looks.
    pub(super) fn tell_stage(&mut self, id: DossierId) {
        if let Some(progress) = self.progress(id) {
            self.folders.note(&progress);
        }
        self.tell_progress(id);
    }

    pub(super) fn tell(&mut self, news: &FromCourier) {
        self.voices.retain(|voice| voice.tell(news.clone()));
    }
}
