//! Looking for drafts and making them, outside the actor: the disk may take its time.

use std::sync::Arc;

use jiff::Timestamp;
use recueil_bus::{Caller, Code, Error};
use recueil_dossier::{AgentId, DemandeNumber, DossierId, Draft, Opening, Procedure, State};
use recueil_store::{Answered, Filter, Stamp};
use ring::rand::{SecureRandom, SystemRandom};

use super::lasting::{Lasting, SinceBoot, between};
use crate::quotas::{Quotas, too_many};
use crate::shop::Shop;
use crate::storage::Storage;

/// States of a draft.
pub(super) const DRAFTS: &[State] = &[State::Draft, State::ToSign];

/// A user's drafts in the store, as an agent works on them.
pub(super) struct Drafts {
    storage: Storage,
    quotas: Arc<Quotas>,
    lasting: Lasting,
    uid: u32,
    agent: AgentId,
}

impl Drafts {
    pub(super) fn of(shop: &Shop, lasting: &Lasting, caller: &Caller, agent: &AgentId) -> Self {
        Self {
            storage: shop.storage.of_user(caller.uid),
            quotas: Arc::clone(&shop.quotas),
            lasting: lasting.clone(),
            uid: caller.uid,
            agent: agent.clone(),
        }
    }

    /// The draft that this token opened before, or a new one; durable. Looked for, counted and made in one step, so
    /// that calls at once find each other.
    pub(super) async fn open(
        self,
        procedure: &Procedure,
        demande: Option<DemandeNumber>,
        token: Option<String>,
        expires_at: Timestamp,
    ) -> Result<DossierId, Error> {
        let now = Timestamp::now();
        let number = demande.as_ref().map(DemandeNumber::as_str).unwrap_or_default();
        let method = format!("OpenDossier {} {number}", procedure.reference.id);
        let mut random = [0; 10];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_none| Error::new(Code::Storage, "the system gives no random bytes; try again"))?;
        let id = DossierId::new(now, random);
        let draft = Draft::open(
            procedure,
            Opening {
                id,
                owner_uid: self.uid,
                agent: self.agent.clone(),
                at: now,
                expires_at,
                demande,
            },
        );
        let answered = token.map(|token| Answered {
            token,
            method,
            answer: id.to_string(),
        });
        let stamp = Stamp {
            at: now,
            agent: Some(self.agent.clone()),
            uid: self.uid,
            answered,
        };
        let (uid, quotas, lasting) = (self.uid, Arc::clone(&self.quotas), self.lasting.clone());
        let opened = self.storage.run(move |store| {
            if let Some(Answered { token, method, .. }) = &stamp.answered
                && let Some(answer) = store.recall_token(uid, token, method, now)?
                && let Ok(before) = answer.parse::<DossierId>()
            {
                return Ok(Ok(before));
            }
            let filter = Filter {
                owner_uid: Some(uid),
                states: DRAFTS.to_vec(),
                ..Filter::default()
            };
            let max = quotas.config.drafts;
            let drafts = store.list(&filter, None, max)?.entries.len();
            let room = too_many(drafts, max, "drafts", "seal or cancel some");
            if let Err(refused) = room.and_then(|()| quotas.open_draft(uid)) {
                return Ok(Err(refused));
            }
            store.create_draft(&draft, &stamp)?;
            lasting.opened(id, between(now, expires_at), SinceBoot::now());
            Ok(Ok(id))
        });
        match opened.await?? {
            before if before != id => self.adoptable(before).await,
            new => Ok(new),
        }
    }

    pub(super) async fn adoptable(self, id: DossierId) -> Result<DossierId, Error> {
        let unknown = || {
            let text = "this user has no such dossier on this station; look at ListDrafts and ListDossiers";
            Error::new(Code::UnknownDossier, text)
        };
        let entry = self.storage.run(move |store| store.entry(id)).await;
        let entry = entry.map_err(|error| match error.code {
            Code::UnknownDossier => unknown(),
            _ => error,
        })?;
        if entry.owner_uid != self.uid {
            return Err(unknown());
        }
        if DRAFTS.contains(&entry.state) && entry.agent != Some(self.agent) {
            let text = "the draft is another agent's, who can pass it on with Transfer";
            return Err(Error::new(Code::NotOwner, text));
        }
        Ok(id)
    }
}
