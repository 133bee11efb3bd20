//! One dossier in use: an actor that owns its draft, runs its captures, seals it and follows it.

mod captures;
mod change;
mod draft;
mod sealed;
mod subject;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use recueil_bus::{Caller, Code, DossierCommand, DossierView, Error, Opened, Published, Reply};
use recueil_dossier::{AgentId, DossierId, Draft, Procedure, State};
use recueil_store::Stamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::captures::Captures;
use crate::capture::{Gift, Gifts};
use crate::shop::Shop;

/// Commands of the client that may wait.
const COMMANDS: usize = 32;
/// Gifts of captures that may wait.
const GIFTS: usize = 8;
/// News of the station that may wait; one that does not fit is made up for by the next.
const NEWS: usize = 8;
/// How long after a start the processes of the one before have surely ended: hostd gives a driver two seconds.
const SETTLED: Duration = Duration::from_secs(5);

/// What the station tells a dossier in use.
#[derive(Debug)]
pub(crate) enum News {
    /// The store knows more of it: a receipt, a status, an end.
    Changed,
    /// Bytes acknowledged by CERT, and bytes in all.
    Sent(u64, u64),
}

/// The station's hold on a dossier in use.
pub(crate) struct Desk {
    pub(crate) published: Published,
    pub(crate) news: mpsc::Sender<News>,
    /// Cancelled once the client can use it.
    ready: CancellationToken,
    stop: CancellationToken,
    /// Cancelled once its actor has ended, its captures before it.
    gone: CancellationToken,
}

impl Desk {
    /// Takes it off the bus; its captures are cancelled, its draft stays. Gives what is cancelled when nothing
    /// works on the dossier any more.
    pub(crate) fn close(&self) -> CancellationToken {
        self.stop.cancel();
        self.gone.clone()
    }

    /// Whether somebody can use it, now or in a moment.
    pub(crate) fn is_open(&self) -> bool {
        !self.stop.is_cancelled() && !self.gone.is_cancelled()
    }

    /// Whether it is on the bus.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.is_cancelled()
    }

    /// Whether its actor has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.is_cancelled()
    }
}

/// What a dossier is put on the bus with.
pub(crate) struct Placing {
    pub(crate) id: DossierId,
    pub(crate) agent: AgentId,
    pub(crate) published: Published,
    /// The actor that had it before, and may still write to it: cancelled when that has ended.
    pub(crate) before: Option<CancellationToken>,
    pub(crate) stop: CancellationToken,
    /// Answered once the dossier can be used.
    pub(crate) reply: Reply<Opened>,
}

/// A draft and the procedure it was opened with.
pub(super) struct Open {
    pub(super) draft: Draft,
    pub(super) procedure: Arc<Procedure>,
}

/// The actor.
pub(super) struct Dossier {
    pub(super) shop: Shop,
    pub(super) id: DossierId,
    pub(super) holder: Caller,
    /// Who works at the holder's connection.
    pub(super) agent: AgentId,
    /// None once it is sealed or destroyed.
    pub(super) open: Option<Open>,
    captures: Captures,
    /// Captures by the client tokens that they were started with.
    started: HashMap<String, String>,
    /// When the surplus prints that an earlier process left without a record may be recorded as destroyed.
    settled_at: Option<Instant>,
    view: watch::Sender<DossierView>,
    published: Published,
    gifts: Gifts,
    stop: CancellationToken,
}

/// What is received.
struct Inputs {
    commands: mpsc::Receiver<DossierCommand>,
    news: mpsc::Receiver<News>,
    gifts: mpsc::Receiver<(Gift, oneshot::Sender<Result<(), Error>>)>,
}

/// Puts a dossier on the bus for one holder, as soon as whoever had it before has ended.
pub(crate) fn place(shop: Shop, placing: Placing) -> Desk {
    let (news, told) = mpsc::channel(NEWS);
    let desk = Desk {
        published: placing.published.clone(),
        news,
        ready: CancellationToken::new(),
        stop: placing.stop.clone(),
        gone: CancellationToken::new(),
    };
    let (ready, gone) = (desk.ready.clone(), desk.gone.clone().drop_guard());
    let tasks = shop.tasks.clone();
    tasks.spawn(async move {
        let _gone = gone;
        Dossier::live(shop, placing, ready, told).await;
    });
    desk
}

impl Dossier {
    async fn live(shop: Shop, placing: Placing, ready: CancellationToken, news: mpsc::Receiver<News>) {
        let Placing {
            id,
            agent,
            published,
            before,
            stop,
            reply,
        } = placing;
        if let Some(before) = before {
            // Two at once on one draft would overwrite each other.
            before.cancelled().await;
        }
        let (gifts, given) = mpsc::channel(GIFTS);
        let mut dossier = Self {
            shop,
            id,
            holder: published.holder.clone(),
            agent,
            open: None,
            captures: Captures::default(),
            started: HashMap::new(),
            settled_at: None,
            view: watch::Sender::new(DossierView::default()),
            published,
            gifts,
            stop,
        };
        match dossier.begin().await {
            Ok(commands) => {
                ready.cancel();
                drop(reply.send(Ok((dossier.published.path.clone(), id))));
                let inputs = Inputs {
                    commands,
                    news,
                    gifts: given,
                };
                dossier.run(inputs).await;
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Reads what there is of it, and shows it.
    async fn begin(&mut self) -> Result<mpsc::Receiver<DossierCommand>, Error> {
        if self.stop.is_cancelled() {
            return Err(Error::new(
                Code::WrongState,
                "the dossier was taken over by another program; adopt it again",
            ));
        }
        let id = self.id;
        let stored = self.shop.storage.run(move |store| {
            let entry = store.entry(id)?;
            let draft = match entry.state {
                State::Draft | State::ToSign => Some(store.load_draft(id)?),
                _ => None,
            };
            Ok((entry.changed_at, draft))
        });
        let (changed_at, draft) = stored.await?;
        if let Some(draft) = draft {
            // One whose procedure changed can still be looked at, corrected by ChangeProcedure, or cancelled.
            let procedure = self.shop.rules.procedure(&draft.procedure.id)?;
            if !draft.surplus.is_empty() && changed_at < self.shop.started {
                self.settled_at = Some(self.shop.started_at + SETTLED);
            }
            self.open = Some(Open { draft, procedure });
        }
        self.view.send_replace(self.look().await?);
        let (commands, received) = mpsc::channel(COMMANDS);
        let published = self
            .shop
            .service
            .publish_dossier(&self.published, self.view.subscribe(), commands)
            .await;
        published.map_err(|error| {
            tracing::error!(%error, "a dossier could not be published");
            Error::new(
                Code::TooMany,
                "the dossier could not be put on the bus; adopt it again",
            )
        })?;
        Ok(received)
    }

    async fn run(mut self, mut inputs: Inputs) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(command) = inputs.commands.recv() => self.obey(command).await,
                Some((gift, reply)) = inputs.gifts.recv() => self.accept(gift, reply).await,
                Some(news) = inputs.news.recv() => self.hear(news).await,
                () = at(self.settled_at) => self.record_ended_before_restart().await,
            }
        }
        if let Err(error) = self.shop.service.withdraw_dossier(&self.published).await {
            tracing::debug!(%error, "a dossier was withdrawn before");
        }
        drop(inputs.commands);
        // It ends after its captures, so that what they destroy is recorded.
        while let Some(over) = self.captures.running() {
            tokio::select! {
                () = over.cancelled() => {}
                Some((gift, reply)) = inputs.gifts.recv() => self.accept(gift, reply).await,
            }
        }
    }

    async fn accept(&mut self, gift: Gift, reply: oneshot::Sender<Result<(), Error>>) {
        let taken = self.take(gift).await;
        // The capture may have been cancelled meanwhile.
        drop(reply.send(taken));
        self.show().await;
    }

    async fn hear(&mut self, news: News) {
        if let News::Sent(sent, total) = news {
            self.view
                .send_modify(|view| (view.sent_bytes, view.total_bytes) = (Some(sent), Some(total)));
        }
        if self.open.is_some() {
            // Where the store cannot say it, the next news or call asks again.
            let _unknown = self.catch_up().await;
        }
        self.show().await;
    }

    /// Settles what a full disk stopped half-way, and gives the state that the store has: the station may have ended
    /// or sealed the draft, and what it told of that be still on its way.
    async fn catch_up(&mut self) -> Result<State, Error> {
        let (id, stamp) = (self.id, self.stamp());
        let state = self
            .shop
            .storage
            .run(move |store| match store.settle(id, &stamp)? {
                Some(state) => Ok(state),
                None => store.state(id),
            });
        let state = state.await?;
        if !matches!(state, State::Draft | State::ToSign) && self.open.take().is_some() {
            self.captures.cancel();
            if state == State::Sealed {
                self.let_courier_look();
            }
        }
        Ok(state)
    }

    async fn obey(&mut self, command: DossierCommand) {
        match command {
            DossierCommand::Steps(reply) => drop(reply.send(self.steps())),
            DossierCommand::Missing(reply) => drop(reply.send(self.missing())),
            DossierCommand::Fields(reply) => drop(reply.send(self.fields())),
            DossierCommand::SetField { name, value, reply } => {
                let done = self.set_field(&name, &value).await;
                self.answer(reply, done).await;
            }
            DossierCommand::FetchPreDemande { text, reply } => {
                let done = self.fetch_pre_demande(&text).await;
                self.answer(reply, done).await;
            }
            DossierCommand::Items(reply) => drop(reply.send(self.items())),
            DossierCommand::Destructions(reply) => drop(reply.send(self.destructions())),
            DossierCommand::OpenItem { name, reply } => drop(reply.send(self.open_item(name).await)),
            DossierCommand::RemoveItem { name, reply } => {
                let done = self.remove_item(&name).await;
                self.answer(reply, done).await;
            }
            DossierCommand::StartCapture {
                caller,
                step,
                device,
                document,
                auto_retry,
                replace,
                token,
                reply,
            } => {
                let what = draft::Wanted {
                    step,
                    device,
                    document,
                    auto_retry,
                    replace,
                };
                drop(reply.send(self.start_capture_once(caller, what, token).await));
            }
            DossierCommand::DeclareMissingFinger {
                position,
                reason,
                reply,
            } => {
                let done = self.declare_missing(position, reason).await;
                self.answer(reply, done).await;
            }
            DossierCommand::RecordDecision {
                step,
                verdict,
                reason,
                reply,
            } => {
                let done = self.record_decision(step, verdict, reason).await;
                self.answer(reply, done).await;
            }
            DossierCommand::ChangeProcedure { procedure, reply } => {
                let done = self.change_procedure(&procedure).await;
                self.answer(reply, done).await;
            }
            DossierCommand::Transfer { agent, reply } => {
                let done = self.transfer(agent).await;
                self.answer(reply, done).await;
            }
            DossierCommand::Seal { reply } => {
                let done = self.seal().await;
                self.answer(reply, done).await;
            }
            DossierCommand::Cancel { reply } => {
                let done = self.cancel().await;
                self.answer(reply, done).await;
            }
            DossierCommand::AcknowledgeRefusal(reply) => {
                let done = self.acknowledge_refusal().await;
                self.answer(reply, done).await;
            }
            DossierCommand::Recepisse { locale, reply } => drop(reply.send(self.recepisse(&locale).await)),
            DossierCommand::Receipts(reply) => drop(reply.send(self.receipts().await)),
        }
    }

    /// Shows a change to the holder, and answers it: whoever has the answer reads properties that agree.
    async fn answer<T>(&self, reply: Reply<T>, done: Result<T, Error>) {
        if done.is_ok() {
            self.show().await;
        }
        // A caller that is gone is no error.
        drop(reply.send(done));
    }

    /// Brings the properties up to date and tells the holder.
    async fn show(&self) {
        let view = match self.look().await {
            Ok(view) => view,
            Err(error) => {
                tracing::warn!(%error, "a dossier could not be looked at");
                return;
            }
        };
        self.view.send_modify(|old| {
            let (sent, total) = (old.sent_bytes, old.total_bytes);
            *old = view;
            old.sent_bytes = old.sent_bytes.or(sent);
            old.total_bytes = old.total_bytes.or(total);
        });
        let view = self.view.borrow().clone();
        if let Err(error) = self.shop.service.dossier_changed(&self.published, view).await {
            tracing::debug!(%error, "a client could not be told of its dossier");
        }
    }

    /// Who changes something now.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp {
            at: Timestamp::now(),
            agent: Some(self.agent.clone()),
            uid: self.holder.uid,
            answered: None,
        }
    }

    /// The draft, or why there is none.
    pub(super) fn draft(&self) -> Result<&Open, Error> {
        self.open.as_ref().ok_or_else(|| {
            Error::new(
                Code::WrongState,
                "the dossier is sealed or ended; it cannot be read or changed any more",
            )
        })
    }
}

/// Waits until a time; for ever where there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
