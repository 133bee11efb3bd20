//! What can be done with a draft. Every change is durable before it is answered.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use jiff::Timestamp;
use recueil_bus::{Caller, Code, DestructionView, Error, Field, ItemView, MissingView, Published, StepView};
use recueil_dossier::{
    AgentId, Content, Decision, Destruction, Draft, FieldError, FieldSource, FingerPosition, ItemName,
    MissingReason, PreDemandeNumber, State,
};
use recueil_store::{Ending, Stamp};
use recueil_wire::devices::DeviceState;

use super::change::{drop_prints, is_print, kept_by};
use super::subject::subject;
use super::view::{item_view, step_view};
use super::{Dossier, Open};
use crate::capture::{self, Gift, Order};
use crate::shop::new_path;

/// What a client wants captured.
pub(super) struct Wanted {
    pub(super) step: String,
    pub(super) device: String,
    pub(super) document: Option<String>,
    pub(super) auto_retry: bool,
    pub(super) replace: Option<ItemName>,
}

/// Captures of one dossier in use that are remembered by their tokens.
const TOKENS_MAX: usize = 256;
/// Longest reason of a decision, characters.
const REASON_MAX_CHARS: usize = 500;
/// Most decisions of one dossier.
const DECISIONS_MAX: usize = 200;

impl Dossier {
    pub(super) fn steps(&self) -> Result<Vec<StepView>, Error> {
        Ok(self.draft()?.procedure.steps.iter().map(step_view).collect())
    }

    pub(super) fn missing(&self) -> Result<Vec<MissingView>, Error> {
        let Open { draft, procedure } = self.draft()?;
        let missing = draft.missing(procedure).into_iter().map(|missing| {
            let (code, name) = missing.what.code();
            (missing.step.clone(), code.to_owned(), name.to_owned())
        });
        Ok(missing.collect())
    }

    pub(super) fn fields(&self) -> Result<BTreeMap<String, Field>, Error> {
        let fields = self.draft()?.draft.fields.iter().map(|(name, field)| {
            let source = match field.source {
                FieldSource::PreDemande => "pre-demande",
                FieldSource::Typed => "typed",
            };
            let corrects = field.corrects.clone().unwrap_or_default();
            (
                name.clone(),
                Field {
                    value: field.value.clone(),
                    source: source.to_owned(),
                    corrects,
                },
            )
        });
        Ok(fields.collect())
    }

    pub(super) fn items(&self) -> Result<Vec<ItemView>, Error> {
        Ok(self.draft()?.draft.items.values().map(item_view).collect())
    }

    pub(super) fn destructions(&self) -> Result<Vec<DestructionView>, Error> {
        let destructions = self
            .draft()?
            .draft
            .destructions
            .iter()
            .map(|one| DestructionView {
                positions: one.positions.iter().map(|position| position.code()).collect(),
                at: one.at.to_string(),
                method: one.method.clone(),
            });
        Ok(destructions.collect())
    }

    pub(super) async fn set_field(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let Open { draft, procedure } = self.draft()?;
        self.count_change()?;
        let mut draft = draft.clone();
        draft.set_field(procedure, name, value).map_err(|error| {
            let code = match error {
                FieldError::Unknown(_) => Code::UnknownStep,
                FieldError::Text { .. } | FieldError::Value { .. } => Code::InvalidArgument,
            };
            Error::new(code, error.to_string())
        })?;
        self.save(draft).await
    }

    /// Trusts nothing in the text but the number, and fetches the rest.
    pub(super) async fn fetch_pre_demande(&mut self, text: &str) -> Result<(String, Vec<String>), Error> {
        let number = PreDemandeNumber::find_in(text)
            .map_err(|error| Error::new(Code::InvalidArgument, error.to_string()))?;
        let Open { draft, procedure } = self.draft()?;
        self.count_change()?;
        let envelope = self.shop.courier.pre_demande(number.clone()).await?;
        let fetched = self.shop.keys()?.open_pre_demande(&envelope)?;
        if fetched.number != number {
            return Err(Error::new(
                Code::CertRefused,
                "CERT answered for another number; try again",
            ));
        }
        let (mut draft, status) = (draft.clone(), fetched.status.clone());
        let refused = draft.take_pre_demande(procedure, fetched);
        self.save(draft).await?;
        Ok((status, refused.iter().map(FieldError::to_string).collect()))
    }

    pub(super) async fn open_item(&self, name: ItemName) -> Result<(OwnedFd, ItemView), Error> {
        let record = self.draft()?.draft.items.get(&name);
        let view = item_view(record.ok_or_else(|| unknown_item(&name))?);
        self.shop.quotas.show(self.holder.uid, view.len_bytes)?;
        let (id, stamp) = (self.id, self.stamp());
        // What a client was given is outside our erasure, so the journal has it before he has.
        let given = self.shop.storage.run(move |store| {
            let item = store.load_item(id, &name)?;
            store.record("item-shown", Some(id), &stamp)?;
            Ok(item)
        });
        let item = given.await?;
        let memory = recueil_wire::sealed_memory("recueil-item", &item.payload).map_err(|error| {
            Error::new(
                Code::TooMany,
                format!("no memory for the item ({error}); close what you opened before"),
            )
        })?;
        tracing::info!(dossier = %id, uid = self.holder.uid, item = %item.record.name, "an item was given to a client");
        Ok((memory, view))
    }

    pub(super) async fn remove_item(&mut self, name: &ItemName) -> Result<(), Error> {
        let mut draft = self.draft()?.draft.clone();
        let removed = draft.items.remove(name).ok_or_else(|| unknown_item(name))?;
        self.count_change()?;
        if is_print(&removed) {
            drop_prints(&mut draft);
        }
        self.save(draft).await
    }

    pub(super) async fn declare_missing(
        &mut self,
        position: FingerPosition,
        reason: Option<MissingReason>,
    ) -> Result<(), Error> {
        self.while_nothing_is_captured()?;
        let mut draft = self.draft()?.draft.clone();
        let before = match reason {
            Some(reason) => draft.missing_fingers.insert(position, reason),
            None => draft.missing_fingers.remove(&position),
        };
        if before == reason {
            return Ok(());
        }
        self.count_change()?;
        if draft.selection.is_some() {
            // It was made, and is explained, by what was missing then.
            drop_prints(&mut draft);
        }
        self.save(draft).await
    }

    pub(super) async fn record_decision(
        &mut self,
        step: String,
        verdict: String,
        reason: String,
    ) -> Result<(), Error> {
        let Open { draft, procedure } = self.draft()?;
        if reason.chars().count() > REASON_MAX_CHARS || reason.chars().any(char::is_control) {
            return Err(Error::new(
                Code::InvalidArgument,
                "a reason is printable text of at most 500 characters",
            ));
        }
        if !Draft::allows(procedure, &step, &verdict, &reason) {
            let text = "the procedure has no such verdict for this step or paper, or it needs its reason";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        let same =
            |last: &Decision| last.verdict == verdict && last.reason == reason && last.agent == self.agent;
        if draft.decision(&step).is_some_and(same) {
            return Ok(());
        }
        if draft.decisions.len() >= DECISIONS_MAX {
            return Err(Error::new(Code::TooMany, "too many decisions in one dossier"));
        }
        self.count_change()?;
        let mut draft = draft.clone();
        draft.decisions.push(Decision {
            step,
            verdict,
            reason,
            agent: self.agent.clone(),
            at: Timestamp::now(),
        });
        self.save(draft).await
    }

    /// Keeps the fields, papers and records that the new procedure knows, and names the rest.
    pub(super) async fn change_procedure(&mut self, id: &str) -> Result<Vec<String>, Error> {
        let procedure = self.shop.rules.procedure(id)?;
        self.while_nothing_is_captured()?;
        let old = &self.draft()?.draft;
        if procedure.kind != old.kind {
            return Err(Error::new(
                Code::InvalidArgument,
                "the procedure is of another kind of dossier",
            ));
        }
        self.count_change()?;
        let (draft, dropped) = kept_by(&procedure, old);
        self.store(draft.clone()).await?;
        self.open = Some(Open { draft, procedure });
        Ok(dropped)
    }

    pub(super) async fn transfer(&mut self, agent: AgentId) -> Result<(), Error> {
        let mut draft = self.draft()?.draft.clone();
        self.count_change()?;
        draft.agent = agent;
        // Who works at this connection stays who he is: what is captured next is still his work.
        self.save(draft).await
    }

    /// Counts a change that the client wants.
    fn count_change(&self) -> Result<(), Error> {
        self.shop.quotas.change(self.holder.uid)
    }

    /// What must not change under a capture is changed before or after it.
    pub(super) fn while_nothing_is_captured(&self) -> Result<(), Error> {
        match self.captures.running() {
            None => Ok(()),
            Some(_) => Err(Error::new(
                Code::WrongState,
                "a capture is running; wait for its end or cancel it",
            )),
        }
    }

    /// Records what an earlier process could not: the prints in its captures' processes ended with it.
    pub(super) async fn record_ended_before_restart(&mut self) {
        self.settled_at = None;
        let Some(Open { draft, .. }) = &self.open else {
            return;
        };
        let mut draft = draft.clone();
        let positions: Vec<_> = draft.surplus.iter().copied().collect();
        draft.record_destruction(Destruction {
            positions,
            at: Timestamp::now(),
            method: Destruction::ENDED_BEFORE_RESTART.to_owned(),
        });
        match self.save(draft).await {
            Ok(()) => self.show().await,
            Err(error) => tracing::error!(dossier = %self.id, %error, "a destruction is not recorded yet"),
        }
    }

    /// Repeating it is answered as the first time.
    pub(super) async fn cancel(&mut self) -> Result<(), Error> {
        let id = self.id;
        if self.catch_up().await? == State::Cancelled {
            return Ok(());
        }
        self.draft()?;
        self.while_nothing_is_captured()?;
        let stamp = self.stamp();
        self.shop
            .storage
            .run(move |store| store.destroy_draft(id, Ending::Cancelled, &stamp))
            .await?;
        self.open = None;
        Ok(())
    }

    /// A token that was used before gets the capture that it started then.
    pub(super) async fn start_capture_once(
        &mut self,
        caller: Caller,
        wanted: Wanted,
        token: Option<String>,
    ) -> Result<String, Error> {
        let Some(token) = token else {
            return self.start_capture(caller, wanted).await;
        };
        if let Some(path) = self.started.get(&token) {
            return Ok(path.clone());
        }
        if self.started.len() >= TOKENS_MAX {
            return Err(Error::new(
                Code::TooMany,
                "too many captures of this dossier with tokens",
            ));
        }
        let path = self.start_capture(caller, wanted).await?;
        self.started.insert(token, path.clone());
        Ok(path)
    }

    async fn start_capture(&mut self, caller: Caller, mut wanted: Wanted) -> Result<String, Error> {
        // Devices are absent meanwhile, which would be told otherwise.
        self.shop.asleep.refuse()?;
        if self.captures.running().is_some() {
            return Err(Error::new(
                Code::Busy,
                "a capture of this dossier is running; wait for its end",
            ));
        }
        let Open { draft, procedure } = self.draft()?;
        let mut number = None;
        if let Some(name) = &wanted.replace {
            let old = draft.items.get(name).ok_or_else(|| unknown_item(name))?;
            wanted.step.clone_from(&old.step);
            if let Content::Page {
                document,
                number: page,
            } = &old.content
            {
                wanted.document = Some(document.clone());
                number = Some(*page);
            }
        }
        let step = procedure.step(&wanted.step).ok_or_else(|| {
            let known: Vec<_> = procedure.steps.iter().map(|step| step.id.as_str()).collect();
            Error::new(
                Code::UnknownStep,
                format!("steps of this procedure are {}", known.join(", ")),
            )
        })?;
        let subject = subject(draft, step, wanted.document.as_deref(), number)?;
        let device = self.shop.capture.devices.get(&wanted.device);
        let device = device
            .filter(|device| device.state != DeviceState::Absent)
            .ok_or_else(|| {
                Error::new(
                    Code::UnknownDevice,
                    "there is no such device, or it is unplugged; look at the devices",
                )
            })?;
        let can = device
            .capabilities
            .as_ref()
            .is_some_and(|can| can.modalities.contains(&subject.modality()));
        if !can {
            let text = format!("step {} needs a {}", wanted.step, subject.modality().as_str());
            return Err(Error::new(Code::Unsupported, text));
        }
        self.count_change()?;
        let profile = self.shop.rules.profile(procedure)?;
        let published = Published {
            path: new_path("capture")?,
            holder: caller.clone(),
        };
        let path = published.path.clone();
        let stop = self.stop.child_token();
        let hold = self
            .shop
            .lease(caller, wanted.device.clone(), stop.clone())
            .await?;
        let over = hold.over();
        let order = Order {
            step: wanted.step,
            subject,
            device,
            agent: self.agent.clone(),
            auto_retry: wanted.auto_retry,
            profile,
            published,
        };
        let tools = self.shop.capture.clone();
        capture::start(tools, order, self.gifts.clone(), hold, stop.clone()).await?;
        self.captures.add(stop, over);
        Ok(path)
    }

    /// Takes what a capture gives; the answer means that it is durable.
    pub(super) async fn take(&mut self, gift: Gift) -> Result<(), Error> {
        let mut draft = self.draft()?.draft.clone();
        match gift {
            Gift::Items {
                items,
                selection,
                surplus,
            } => {
                if selection.is_some() {
                    drop_prints(&mut draft);
                    draft.selection = selection;
                }
                draft.surplus.extend(surplus);
                for item in &items {
                    draft.items.insert(item.record.name.clone(), item.record.clone());
                }
                if draft.items.len() > Draft::ITEMS_MAX {
                    return Err(Error::new(
                        Code::TooMany,
                        "the dossier holds too many items; remove some",
                    ));
                }
                let (stored, stamp) = (draft.clone(), self.stamp());
                self.shop
                    .storage
                    .run(move |store| store.put_items(&stored, items, &stamp))
                    .await?;
            }
            Gift::Destroyed(destruction) => {
                draft.record_destruction(destruction);
                let stored = self.store(draft.clone()).await;
                // It happened, whatever the disk does: the next change that is stored has it.
                if let Some(open) = &mut self.open {
                    open.draft = draft;
                }
                return stored;
            }
        }
        if let Some(open) = &mut self.open {
            open.draft = draft;
        }
        Ok(())
    }

    /// Stores a changed draft, then shows it.
    async fn save(&mut self, draft: Draft) -> Result<(), Error> {
        self.store(draft.clone()).await?;
        if let Some(open) = &mut self.open {
            open.draft = draft;
        }
        Ok(())
    }

    async fn store(&self, draft: Draft) -> Result<(), Error> {
        let stamp: Stamp = self.stamp();
        self.shop
            .storage
            .run(move |store| store.save_draft(&draft, &stamp))
            .await
    }
}

fn unknown_item(name: &ItemName) -> Error {
    Error::new(Code::UnknownItem, format!("the dossier has no item {name}"))
}
