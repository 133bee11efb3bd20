//! One dossier in use: an actor that owns its draft, runs its captures, seals it and follows it.

mod draft;
mod sealed;
mod view;

use std::sync::Arc;

use jiff::Timestamp;
use recueil_bus::{Caller, Code, DossierCommand, DossierView, Error, Published};
use recueil_dossier::{AgentId, DossierId, Draft, Procedure};
use recueil_store::Stamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::capture::Gift;
use crate::shop::Shop;

/// Commands of the client that may wait.
const COMMANDS: usize = 32;
/// Gifts of captures that may wait.
const GIFTS: usize = 8;
/// News of the station that may wait; one that does not fit is made up for by the next.
const NEWS: usize = 8;

/// What the station tells a dossier in use.
#[derive(Debug)]
pub(crate) enum News {
    /// The store knows more of it: a receipt, a status, an end.
    Changed,
    /// Bytes acknowledged by CERT, and bytes in all.
    Sent(u64, u64),
    /// Its draft was destroyed because its time is over.
    Expired,
}

/// The station's hold on a dossier in use.
pub(crate) struct Desk {
    pub(crate) published: Published,
    pub(crate) news: mpsc::Sender<News>,
    stop: CancellationToken,
}

impl Desk {
    /// Takes it off the bus; its captures are cancelled, its draft stays.
    pub(crate) fn close(&self) {
        self.stop.cancel();
    }
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
    pub(super) agent: AgentId,
    /// None once it is sealed or destroyed.
    pub(super) open: Option<Open>,
    pub(super) capturing: bool,
    view: watch::Sender<DossierView>,
    published: Published,
    gifts: mpsc::Sender<(Gift, oneshot::Sender<Result<(), Error>>)>,
    over: mpsc::Sender<()>,
    stop: CancellationToken,
}

/// Puts a dossier on the bus for one holder.
pub(crate) async fn open(
    shop: Shop,
    id: DossierId,
    agent: AgentId,
    published: Published,
    draft: Option<(Draft, Arc<Procedure>)>,
    stop: CancellationToken,
) -> Result<Desk, Error> {
    let (commands, received) = mpsc::channel(COMMANDS);
    let (news, told) = mpsc::channel(NEWS);
    let (gifts, given) = mpsc::channel(GIFTS);
    let (over, ended) = mpsc::channel(1);
    let (view, seen) = watch::channel(DossierView::default());
    let dossier = Dossier {
        shop,
        id,
        holder: published.holder.clone(),
        agent,
        open: draft.map(|(draft, procedure)| Open { draft, procedure }),
        capturing: false,
        view,
        published: published.clone(),
        gifts,
        over,
        stop: stop.clone(),
    };
    let first = dossier.look().await?;
    dossier.view.send_replace(first);
    dossier
        .shop
        .service
        .publish_dossier(&published, seen, commands)
        .await
        .map_err(|error| {
            tracing::error!(%error, "a dossier could not be published");
            Error::new(
                Code::TooMany,
                "the dossier could not be put on the bus; adopt it again",
            )
        })?;
    tokio::spawn(dossier.run(received, told, given, ended));
    Ok(Desk {
        published,
        news,
        stop,
    })
}

impl Dossier {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<DossierCommand>,
        mut news: mpsc::Receiver<News>,
        mut gifts: mpsc::Receiver<(Gift, oneshot::Sender<Result<(), Error>>)>,
        mut over: mpsc::Receiver<()>,
    ) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(command) = commands.recv() => self.obey(command).await,
                Some((gift, reply)) = gifts.recv() => {
                    let taken = self.take(gift).await;
                    // The capture may have been cancelled meanwhile.
                    drop(reply.send(taken));
                    self.show().await;
                }
                Some(()) = over.recv() => self.capturing = false,
                Some(news) = news.recv() => self.hear(news).await,
            }
        }
        if let Err(error) = self.shop.service.withdraw_dossier(&self.published).await {
            tracing::debug!(%error, "a dossier was withdrawn before");
        }
    }

    async fn hear(&mut self, news: News) {
        match news {
            News::Changed => {}
            News::Expired => self.open = None,
            News::Sent(sent, total) => {
                self.view
                    .send_modify(|view| (view.sent_bytes, view.total_bytes) = (Some(sent), Some(total)));
            }
        }
        self.show().await;
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
                reply,
            } => {
                let what = draft::Wanted {
                    step,
                    device,
                    document,
                    auto_retry,
                    replace,
                };
                drop(reply.send(self.start_capture(caller, what).await));
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

    /// Answers a change, and shows it to the holder.
    async fn answer<T>(&self, reply: recueil_bus::Reply<T>, done: Result<T, Error>) {
        let changed = done.is_ok();
        // A caller that is gone is no error.
        drop(reply.send(done));
        if changed {
            self.show().await;
        }
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
            let sent = (old.sent_bytes, old.total_bytes);
            *old = view;
            if old.sent_bytes.is_none() {
                (old.sent_bytes, old.total_bytes) = sent;
            }
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
