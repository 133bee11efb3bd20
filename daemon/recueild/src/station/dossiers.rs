//! Opening, adopting and ending dossiers.

use std::sync::Arc;

use jiff::Timestamp;
use recueil_bus::{Caller, Code, Error, Opened, Published, Reply};
use recueil_dossier::{AgentId, DemandeNumber, DossierId, Kind, Procedure, close_of_next_working_day};
use recueil_store::{Ending, Filter, Stamp};

use super::drafts::{DRAFTS, Drafts};
use super::lasting::SinceBoot;
use super::{Settings, Station, agent_of};
use crate::dossier::{self, News, Placing};
use crate::quotas::too_many;
use crate::shop::{Internal, Shop, new_path};
use crate::storage::all;

/// What a client wants opened.
pub(super) struct Wanted {
    pub(super) caller: Caller,
    pub(super) procedure: String,
    pub(super) demande: Option<DemandeNumber>,
    pub(super) token: Option<String>,
}

impl Station {
    /// Opens a draft and answers when it is on the bus.
    pub(super) fn open_dossier(&mut self, wanted: Wanted, reply: Reply<Opened>) {
        match self.opening(&wanted) {
            Ok((agent, procedure)) => {
                let drafts = Drafts::of(&self.shop, &self.lasting, &wanted.caller, &agent);
                let expires_at = {
                    let Settings {
                        zone,
                        drafts_expire_at,
                        ..
                    } = &self.settings;
                    close_of_next_working_day(Timestamp::now(), zone, *drafts_expire_at)
                };
                let Wanted {
                    caller,
                    demande,
                    token,
                    ..
                } = wanted;
                let found = async move { drafts.open(&procedure, demande, token, expires_at).await };
                self.find(caller, agent, found, reply);
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Who opens a dossier, and by which procedure.
    fn opening(&self, wanted: &Wanted) -> Result<(AgentId, Arc<Procedure>), Error> {
        self.departed.refuse(&wanted.caller)?;
        let agent = agent_of(&self.agents, &wanted.caller.name)?;
        let procedure = self.shop.rules.procedure(&wanted.procedure)?;
        if (procedure.kind == Kind::HandOver) != wanted.demande.is_some() {
            let text = "the procedure is of another kind than the one asked for";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        self.check_quota(wanted.caller.uid)?;
        Ok((agent, procedure))
    }

    /// A dossier of the caller's uid, a draft of its agent. Where another living connection has it, it is taken
    /// from there: both are of one user.
    pub(super) fn adopt(&mut self, caller: Caller, id: DossierId, reply: Reply<Opened>) {
        let agent = self.departed.refuse(&caller);
        match agent.and_then(|()| agent_of(&self.agents, &caller.name)) {
            Ok(agent) => {
                let drafts = Drafts::of(&self.shop, &self.lasting, &caller, &agent);
                self.find(caller, agent, async move { drafts.adoptable(id).await }, reply);
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Looks for a dossier in the store, and goes on when it is found: nobody else waits for that.
    fn find(
        &self,
        caller: Caller,
        agent: AgentId,
        found: impl Future<Output = Result<DossierId, Error>> + Send + 'static,
        reply: Reply<Opened>,
    ) {
        let station = self.shop.station.clone();
        self.shop.tasks.spawn(async move {
            match found.await {
                Ok(id) => {
                    let found = Internal::Found {
                        caller,
                        agent,
                        id,
                        reply,
                    };
                    // A station that is gone answers nobody.
                    drop(station.send(found).await);
                }
                Err(error) => drop(reply.send(Err(error))),
            }
        });
    }

    /// Puts a dossier that was found on the bus, and answers when it is there.
    pub(super) fn put_on_desk(
        &mut self,
        caller: Caller,
        agent: &AgentId,
        id: DossierId,
        reply: Reply<Opened>,
    ) {
        let uid = caller.uid;
        let placing = match self.placing(caller, agent, id) {
            Ok(placing) => placing,
            Err(answer) => return drop(reply.send(answer)),
        };
        let storage = self.shop.storage.of_user(uid);
        let shop = Shop {
            storage,
            ..self.shop.clone()
        };
        let before = self.desks.remove(&id).map(|desk| desk.close());
        let placing = Placing {
            id,
            agent: agent.clone(),
            published: placing,
            before,
            stop: self.stop.child_token(),
            reply,
        };
        self.desks.insert(id, dossier::place(shop, placing));
    }

    /// Under which path and for whom; or the answer, where the caller has it already or may not have it.
    fn placing(
        &self,
        caller: Caller,
        agent: &AgentId,
        id: DossierId,
    ) -> Result<Published, Result<Opened, Error>> {
        if self.stop.is_cancelled() {
            let text = "the station is stopping; the draft is kept; adopt it when the station is back";
            return Err(Err(Error::new(Code::WrongState, text)));
        }
        self.departed.refuse(&caller).map_err(Err)?;
        if agent_of(&self.agents, &caller.name).map_err(Err)? != *agent {
            let text = "another agent began to work meanwhile; the draft is kept for the one before";
            return Err(Err(Error::new(Code::NotOwner, text)));
        }
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
        Ok(Published { path, holder })
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

    /// Looks at the drafts that are there at the start.
    pub(super) async fn find_drafts(&mut self) {
        let filter = Filter {
            states: DRAFTS.to_vec(),
            ..Filter::default()
        };
        let found = self.shop.storage.run(move |store| all(store, &filter)).await;
        let (now, since_boot) = (Timestamp::now(), SinceBoot::now());
        // Where they cannot be listed the clock alone decides.
        for draft in found.unwrap_or_default() {
            let times = (draft.opened_at, draft.expires_at);
            self.lasting.found(draft.id, times, now, since_boot);
        }
    }

    /// Destroys the drafts whose time is over. One that cannot be destroyed holds up no other, and is tried again.
    pub(super) async fn expire(&mut self) {
        let (now, since_boot) = (Timestamp::now(), SinceBoot::now());
        let by_the_clock = self
            .shop
            .storage
            .run(move |store| store.expired_drafts(now))
            .await;
        let over = self.lasting.over(by_the_clock.unwrap_or_default(), since_boot);
        let destroyed = self.shop.storage.run(move |store| {
            let (mut destroyed, mut gone) = (Vec::new(), Vec::new());
            for id in over {
                match store.state(id) {
                    Ok(state) if DRAFTS.contains(&state) => {}
                    Ok(_) | Err(recueil_store::Error::Unknown(_)) => {
                        gone.push(id);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                match store.destroy_draft(id, Ending::Expired, &Stamp::station(now)) {
                    Ok(_) => destroyed.push(id),
                    Err(error) if error.is_fatal() => return Err(error),
                    Err(error) => {
                        tracing::error!(dossier = %id, %error, "a draft whose time is over cannot be destroyed");
                    }
                }
            }
            Ok((destroyed, gone))
        });
        let (destroyed, gone) = destroyed.await.unwrap_or_default();
        for id in gone {
            self.lasting.forget(id);
        }
        for id in destroyed {
            self.lasting.forget(id);
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
