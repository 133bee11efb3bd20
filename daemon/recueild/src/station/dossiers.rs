//! Opening, adopting and ending dossiers.

use jiff::Timestamp;
use recueil_bus::{Caller, Code, Error, Opened, Published, Reply};
use recueil_dossier::{
    AgentId, DemandeNumber, DossierId, Draft, Kind, Opening, State, close_of_next_working_day,
};
use recueil_store::{Answered, Ending, Filter, Stamp};
use ring::rand::{SecureRandom, SystemRandom};

use super::{Station, agent_of};
use crate::dossier::{self, News, Placing};
use crate::quotas::too_many;
use crate::shop::new_path;

/// States of a draft.
pub(super) const DRAFTS: &[State] = &[State::Draft, State::ToSign];

/// What a client wants opened.
pub(super) struct Wanted {
    pub(super) caller: Caller,
    pub(super) procedure: String,
    pub(super) demande: Option<DemandeNumber>,
    pub(super) token: Option<String>,
}

impl Station {
    /// Opens a draft and answers when it is on the bus.
    pub(super) async fn open_dossier(&mut self, wanted: Wanted, reply: Reply<Opened>) {
        match self.draft_for(&wanted).await {
            Ok(id) => self.put_on_desk(wanted.caller, id, reply),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// The draft that this token opened before, or a new one; durable.
    async fn draft_for(&mut self, wanted: &Wanted) -> Result<DossierId, Error> {
        let Wanted {
            caller,
            procedure,
            demande,
            token,
        } = wanted;
        self.departed.refuse(caller)?;
        let agent = agent_of(&self.agents, &caller.name)?;
        let procedure = self.shop.rules.procedure(procedure)?;
        if (procedure.kind == Kind::HandOver) != demande.is_some() {
            let text = "the procedure is of another kind than the one asked for";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        self.check_quota(caller.uid)?;
        let now = Timestamp::now();
        let number = demande.as_ref().map(DemandeNumber::as_str).unwrap_or_default();
        let method = format!("OpenDossier {} {number}", procedure.reference.id);
        let drafts_max = self.shop.quotas.config.drafts;
        let (uid, recall) = (caller.uid, token.clone().map(|token| (token, method.clone())));
        let (recalled, drafts) = self
            .shop
            .storage
            .run(move |store| {
                let recalled = match recall {
                    Some((token, method)) => store.recall_token(uid, &token, &method, now)?,
                    None => None,
                };
                let filter = Filter {
                    owner_uid: Some(uid),
                    states: DRAFTS.to_vec(),
                    ..Filter::default()
                };
                let drafts = store.list(&filter, None, drafts_max)?.entries.len();
                Ok((recalled, drafts))
            })
            .await?;
        if let Some(id) = recalled.and_then(|answer| answer.parse::<DossierId>().ok()) {
            return self.adoptable(caller, id).await;
        }
        too_many(drafts, drafts_max, "drafts", "seal or cancel some")?;
        self.shop.quotas.open_draft(uid)?;
        let mut random = [0; 10];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_none| Error::new(Code::Storage, "the system gives no random bytes; try again"))?;
        let id = DossierId::new(now, random);
        let opening = Opening {
            id,
            owner_uid: caller.uid,
            agent: agent.clone(),
            at: now,
            expires_at: close_of_next_working_day(now, &self.settings.zone, self.settings.drafts_expire_at),
            demande: demande.clone(),
        };
        let draft = Draft::open(&procedure, opening);
        let answered = token.clone().map(|token| Answered {
            token,
            method,
            answer: id.to_string(),
        });
        let stamp = Stamp {
            at: now,
            agent: Some(agent),
            uid: caller.uid,
            answered,
        };
        self.shop
            .storage
            .run(move |store| store.create_draft(&draft, &stamp))
            .await?;
        Ok(id)
    }

    /// A dossier of the caller's uid, a draft of its agent. Where another living connection has it, it is taken
    /// from there: both are of one user.
    pub(super) async fn adopt(&mut self, caller: Caller, id: DossierId, reply: Reply<Opened>) {
        match self.adoptable(&caller, id).await {
            Ok(id) => self.put_on_desk(caller, id, reply),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    async fn adoptable(&self, caller: &Caller, id: DossierId) -> Result<DossierId, Error> {
        self.departed.refuse(caller)?;
        let agent = agent_of(&self.agents, &caller.name)?;
        let unknown = || {
            let text = "this user has no such dossier on this station; look at ListDrafts and ListDossiers";
            Error::new(Code::UnknownDossier, text)
        };
        let entry = self.shop.storage.run(move |store| store.entry(id)).await;
        let entry = entry.map_err(|error| match error.code {
            Code::UnknownDossier => unknown(),
            _ => error,
        })?;
        if entry.owner_uid != caller.uid {
            return Err(unknown());
        }
        if DRAFTS.contains(&entry.state) && entry.agent != Some(agent) {
            let text = "the draft is another agent's, who can pass it on with Transfer";
            return Err(Error::new(Code::NotOwner, text));
        }
        Ok(id)
    }

    fn put_on_desk(&mut self, caller: Caller, id: DossierId, reply: Reply<Opened>) {
        let placing = match self.placing(caller, id) {
            Ok(placing) => placing,
            Err(answer) => return drop(reply.send(answer)),
        };
        let before = self.desks.remove(&id).map(|desk| desk.close());
        let placing = Placing {
            id,
            agent: placing.0,
            published: placing.1,
            before,
            stop: self.stop.child_token(),
            reply,
        };
        self.desks.insert(id, dossier::place(self.shop.clone(), placing));
    }

    /// Who works and under which path; or the answer, where the caller has it already or may not have it.
    fn placing(&self, caller: Caller, id: DossierId) -> Result<(AgentId, Published), Result<Opened, Error>> {
        let agent = agent_of(&self.agents, &caller.name).map_err(Err)?;
        if let Some(desk) = self.desks.get(&id).filter(|desk| desk.is_open())
            && desk.published.holder.name == caller.name
        {
            return Err(if desk.is_ready() {
                Ok((desk.published.path.clone(), id))
            } else {
                let text = "the dossier is being opened for the caller; wait for the first answer";
                Err(Error::new(Code::Busy, text))
            });
        }
        self.check_quota(caller.uid).map_err(Err)?;
        let path = new_path("dossier").map_err(Err)?;
        let holder = caller;
        Ok((agent, Published { path, holder }))
    }

    fn check_quota(&self, uid: u32) -> Result<(), Error> {
        let in_use = self
            .desks
            .values()
            .filter(|desk| desk.is_open() && desk.published.holder.uid == uid)
            .count();
        let max = self.shop.quotas.config.dossiers_in_use;
        too_many(in_use, max, "dossiers in use", "disconnect from some")
    }

    /// Destroys the drafts whose time is over. One that cannot be destroyed holds up no other.
    pub(super) async fn expire(&mut self) {
        let now = Timestamp::now();
        let destroyed = self.shop.storage.run(move |store| {
            let mut destroyed = Vec::new();
            for id in store.expired_drafts(now)? {
                match store.destroy_draft(id, Ending::Expired, &Stamp::station(now)) {
                    Ok(_) => destroyed.push(id),
                    Err(error) if error.is_fatal() => return Err(error),
                    Err(error) => {
                        tracing::error!(dossier = %id, %error, "a draft whose time is over cannot be destroyed");
                    }
                }
            }
            Ok(destroyed)
        });
        for id in destroyed.await.unwrap_or_default() {
            tracing::info!(dossier = %id, "a draft was destroyed: its time was over");
            self.tell(id, News::Changed);
        }
    }

    /// Forgets dossiers that came to their end long ago; the journal stays.
    pub(super) async fn forget_ended(&self) {
        let now = Timestamp::now();
        let Ok(before) = now.checked_sub(self.settings.forget_after) else {
            return;
        };
        let forgotten = self
            .shop
            .storage
            .run(move |store| store.forget_ended(before, &Stamp::station(now)));
        let count = forgotten.await.map_or(0, |forgotten| forgotten.len());
        if count > 0 {
            tracing::info!(count, "dossiers that ended long ago were forgotten");
        }
    }

    /// Tells a dossier in use something; one that is busy looks at the store by the next news.
    pub(super) fn tell(&self, id: DossierId, news: News) {
        if let Some(desk) = self.desks.get(&id) {
            drop(desk.news.try_send(news));
        }
    }
}
