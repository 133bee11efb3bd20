//! Opening, adopting and ending dossiers.

use jiff::Timestamp;
use recueil_bus::{Caller, Code, Error, Opened, Published};
use recueil_dossier::{DemandeNumber, DossierId, Draft, Kind, Opening, State, close_of_next_working_day};
use recueil_store::{Answered, Ending, Stamp};
use ring::rand::{SecureRandom, SystemRandom};

use super::{Station, agent_of};
use crate::dossier::{self, News};
use crate::shop::new_path;

/// Dossiers that one user may have in use.
const DESKS_PER_UID_MAX: usize = 32;

impl Station {
    pub(super) async fn open_dossier(
        &mut self,
        caller: Caller,
        procedure: &str,
        demande: Option<DemandeNumber>,
        token: Option<String>,
    ) -> Result<Opened, Error> {
        let agent = agent_of(&self.agents, &caller.name)?;
        let procedure = self.shop.rules.procedure(procedure)?;
        if (procedure.kind == Kind::HandOver) != demande.is_some() {
            let text = "the procedure is of another kind than the one asked for";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        self.check_quota(caller.uid)?;
        let now = Timestamp::now();
        let method = format!("OpenDossier {}", procedure.reference.id);
        if let Some(token) = token.clone() {
            let (uid, method) = (caller.uid, method.clone());
            let recalled = self
                .shop
                .storage
                .run(move |store| store.recall_token(uid, &token, &method, now))
                .await?;
            if let Some(id) = recalled.and_then(|answer| answer.parse::<DossierId>().ok()) {
                return self.adopt(caller, id).await;
            }
        }
        let mut random = [0; 10];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_none| Error::new(Code::Storage, "the system gives no random bytes"))?;
        let id = DossierId::new(now, random);
        let expires_at = close_of_next_working_day(now, &self.settings.zone, self.settings.drafts_expire_at);
        let opening = Opening {
            id,
            owner_uid: caller.uid,
            agent: agent.clone(),
            at: now,
            expires_at,
            demande,
        };
        let draft = Draft::open(&procedure, opening);
        let answered = token.map(|token| Answered {
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
        let stored = draft.clone();
        self.shop
            .storage
            .run(move |store| store.create_draft(&stored, &stamp))
            .await?;
        self.put_on_desk(caller, id, Some(draft)).await
    }

    /// A dossier of the caller's uid. Where another living connection has it, it is taken from there: both are
    /// of one user.
    pub(super) async fn adopt(&mut self, caller: Caller, id: DossierId) -> Result<Opened, Error> {
        agent_of(&self.agents, &caller.name)?;
        let unknown = || {
            Error::new(
                Code::UnknownDossier,
                "this user has no such dossier on this station",
            )
        };
        let entry = self
            .shop
            .storage
            .run(move |store| store.entry(id))
            .await
            .map_err(|_unknown| unknown())?;
        if entry.owner_uid != caller.uid {
            return Err(unknown());
        }
        if let Some(desk) = self.desks.get(&id)
            && desk.published.holder.name == caller.name
        {
            return Ok((desk.published.path.clone(), id));
        }
        self.check_quota(caller.uid)?;
        let draft = match entry.state {
            State::Draft | State::ToSign => {
                Some(self.shop.storage.run(move |store| store.load_draft(id)).await?)
            }
            _ => None,
        };
        if let Some(desk) = self.desks.remove(&id) {
            desk.close();
        }
        self.put_on_desk(caller, id, draft).await
    }

    async fn put_on_desk(
        &mut self,
        caller: Caller,
        id: DossierId,
        draft: Option<Draft>,
    ) -> Result<Opened, Error> {
        let agent = agent_of(&self.agents, &caller.name)?;
        let draft = match draft {
            // One whose procedure changed can still be looked at, corrected by ChangeProcedure, or cancelled.
            Some(draft) => {
                let procedure = self.shop.rules.procedure(&draft.procedure.id)?;
                Some((draft, procedure))
            }
            None => None,
        };
        let published = Published {
            path: new_path("dossier")?,
            holder: caller,
        };
        let path = published.path.clone();
        let stop = self.stop.child_token();
        let desk = dossier::open(self.shop.clone(), id, agent, published, draft, stop).await?;
        self.desks.insert(id, desk);
        Ok((path, id))
    }

    fn check_quota(&self, uid: u32) -> Result<(), Error> {
        let in_use = self
            .desks
            .values()
            .filter(|desk| desk.published.holder.uid == uid)
            .count();
        if in_use < DESKS_PER_UID_MAX {
            return Ok(());
        }
        Err(Error::new(
            Code::TooMany,
            "this user has 32 dossiers in use; disconnect from some",
        ))
    }

    /// Destroys the drafts whose time is over.
    pub(super) async fn expire(&mut self) {
        let now = Timestamp::now();
        let destroyed = self.shop.storage.run(move |store| {
            let expired = store.expired_drafts(now)?;
            for id in &expired {
                store.destroy_draft(*id, Ending::Expired, &Stamp::station(now))?;
            }
            Ok(expired)
        });
        for id in destroyed.await.unwrap_or_default() {
            tracing::info!(dossier = %id, "a draft was destroyed: its time was over");
            self.tell(id, News::Expired);
        }
    }

    /// Tells a dossier in use something; one that is busy looks at the store by the next news.
    pub(super) fn tell(&self, id: DossierId, news: News) {
        if let Some(desk) = self.desks.get(&id) {
            drop(desk.news.try_send(news));
        }
    }
}
