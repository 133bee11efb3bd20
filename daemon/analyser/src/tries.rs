//! What a session holds: the try that runs, and the records of those that were good.

use std::collections::{BTreeMap, BTreeSet};

use recueil_capture::{Encoded, Profile, Refusal};
use recueil_dossier::{FingerPosition, Frame, FrameInfo, Guidance, Hand};
use recueil_wire::analyser::{Assessment, Pick, Task};
use zeroize::Zeroizing;

use crate::Error;
use crate::assess::{Asked, Records, assess};
use crate::guide::{Guide, guide};

/// Results of one try: a feeder's job is split by `recueild`.
const RESULTS_MAX: usize = 8;
/// Pixels that one session holds, its results and records together.
const HELD_MAX_BYTES: usize = 512 << 20;
/// Tries whose records are held.
const TRIES_MAX: usize = 64;

/// All tries of a session.
pub(crate) struct Tries {
    task: Task,
    profile: Profile,
    running: Option<Running>,
    accepted: BTreeMap<u64, Records>,
    accepted_hands: BTreeSet<Hand>,
    last_req: Option<u64>,
}

struct Running {
    req: u64,
    position: Option<FingerPosition>,
    missing: BTreeSet<FingerPosition>,
    results: Vec<Frame>,
    guided: Option<Guide>,
}

impl Tries {
    pub(crate) fn new(task: Task, profile: Profile) -> Self {
        Self {
            task,
            profile,
            running: None,
            accepted: BTreeMap::new(),
            accepted_hands: BTreeSet::new(),
            last_req: None,
        }
    }

    /// A new try takes the place of one that came to nothing.
    pub(crate) fn begin(
        &mut self,
        req: u64,
        position: Option<FingerPosition>,
        missing: BTreeSet<FingerPosition>,
    ) -> Result<(), Error> {
        if self.last_req.is_some_and(|last| req <= last) {
            return Err(Error::OutOfOrder("a try numbered as one before"));
        }
        if (self.task == Task::Fingerprints) != position.is_some() {
            return Err(Error::OutOfOrder(
                "a position where none is captured, or none where one is",
            ));
        }
        self.last_req = Some(req);
        self.running = Some(Running {
            req,
            position,
            missing,
            results: Vec::new(),
            guided: None,
        });
        Ok(())
    }

    /// The try that runs.
    pub(crate) fn running_req(&self) -> Option<u64> {
        self.running.as_ref().map(|running| running.req)
    }

    /// Whether a result of this size may still be taken.
    pub(crate) fn has_room(&self, info: &FrameInfo) -> Result<(), Error> {
        let records: usize = self.accepted.values().map(Records::len_bytes).sum();
        let results = self.running.iter().flat_map(|running| &running.results);
        let held = results.map(|frame| frame.pixels.len()).sum::<usize>() + records;
        let more = usize::try_from(info.used).unwrap_or(usize::MAX);
        let count = self.running.as_ref().map_or(0, |running| running.results.len());
        if count >= RESULTS_MAX || held.saturating_add(more) > HELD_MAX_BYTES {
            return Err(Error::TooMuch);
        }
        Ok(())
    }

    /// A result of the try that runs.
    pub(crate) fn add_result(&mut self, info: FrameInfo, pixels: Zeroizing<Vec<u8>>) {
        if let Some(running) = &mut self.running {
            running.results.push(Frame { info, pixels });
        }
    }

    /// What a preview tells the person, if it is not what was told last.
    pub(crate) fn guide(&mut self, info: &FrameInfo) -> Option<Guide> {
        let running = self.running.as_mut()?;
        let guided = guide(info.fingerprint.as_ref(), running.position?, &running.missing)?;
        (running.guided.replace(guided) != Some(guided)).then_some(guided)
    }

    /// How much smaller a preview must be before a client sees it.
    pub(crate) fn preview_divisor(&self) -> u32 {
        match self.task {
            Task::Fingerprints => self.profile.fingerprint.preview_divisor,
            Task::PhotoPrint | Task::Pages | Task::Signature => 1,
        }
    }

    pub(crate) fn is_fingerprints(&self) -> bool {
        self.task == Task::Fingerprints
    }

    /// The device says that the try is over and that it gave so many results.
    pub(crate) fn finish(&mut self, req: u64, said: u32) -> Result<Assessment, Error> {
        let running = self.running.take().filter(|running| running.req == req);
        let running = running.ok_or(Error::OutOfOrder("a try finished that does not run"))?;
        let arrived = running.results.len();
        if u32::try_from(arrived) != Ok(said) {
            return Err(Error::ResultCount { arrived, said });
        }
        let asked = Asked {
            position: running.position,
            missing: &running.missing,
        };
        match assess(&self.task, &running.results, &asked, &self.profile) {
            Ok((assessment, records)) => {
                if self.accepted.len() >= TRIES_MAX {
                    return Err(Error::TooMuch);
                }
                self.accepted_hands
                    .extend(running.position.map(FingerPosition::hand));
                self.accepted.insert(req, records);
                Ok(assessment)
            }
            Err(refusal) => Ok(self.refused(refusal, running.position)),
        }
    }

    /// A hand that is the wrong one because it was given before is told so.
    fn refused(&self, mut refusal: Refusal, asked: Option<FingerPosition>) -> Assessment {
        let other = asked.map(|position| position.hand().other());
        let given_before = other.is_some_and(|hand| self.accepted_hands.contains(&hand));
        if given_before && refusal.guidance.contains(&Guidance::WrongHand) {
            refusal.guidance.push(Guidance::SameHandTwice);
        }
        Assessment::Refused {
            guidance: refusal.guidance,
            criteria: refusal.criteria,
        }
    }

    /// Encodes one record.
    pub(crate) fn encode(&self, pick: &Pick) -> Result<Encoded, Error> {
        let records = self.accepted.get(&pick.req);
        records
            .ok_or(Error::OutOfOrder("a record of a try that was not accepted"))?
            .encode(pick)
    }
}
