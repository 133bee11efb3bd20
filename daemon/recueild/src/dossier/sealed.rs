//! Sealing, and what can be asked of a dossier afterwards.

use jiff::Timestamp;
use recueil_bus::{Code, DossierView, Error, ReceiptView, RecepisseView};
use recueil_dossier::{ReceiptKind, State};
use recueil_store::SealedFacts;

use super::{Dossier, Open};

impl Dossier {
    /// Repeating it on a sealed dossier is answered as the first time.
    pub(super) async fn seal(&mut self) -> Result<(), Error> {
        let id = self.id;
        self.catch_up().await?;
        if self.open.is_none() {
            let entry = self.shop.storage.run(move |store| store.entry(id)).await?;
            return match entry.sealed {
                Some(_) => Ok(()),
                None => Err(Error::new(
                    Code::WrongState,
                    "the draft was destroyed; it cannot be sealed",
                )),
            };
        }
        self.while_nothing_is_captured()?;
        let keys = self.shop.keys()?.clone();
        let Open { draft, procedure } = self.draft()?;
        self.shop.rules.of(draft)?;
        let (draft, procedure, stamp) = (draft.clone(), procedure.clone(), self.stamp());
        if !draft.surplus.is_empty() {
            let text = "the prints that were not chosen are not seen to be destroyed yet; wait a few seconds, then \
                        present the hands again if it stays so";
            return Err(Error::new(Code::WrongState, text));
        }
        let missing = draft.missing(&procedure);
        if !missing.is_empty() {
            let lacks: Vec<_> = missing
                .iter()
                .map(|one| format!("{} {}", one.step, one.what.code().1))
                .collect();
            let text = "the dossier is not complete; call Missing to see what is lacking";
            return Err(Error::new(Code::Incomplete, text).with("missing", lacks.join(", ")));
        }
        let reserve = stamp.clone();
        let (sequence, items) = self
            .shop
            .storage
            .run(move |store| Ok((store.reserve_sequence(id, &reserve)?, store.load_items(id)?)))
            .await?;
        let title = procedure.title.clone();
        let (parcel, sealed_at) = tokio::task::spawn_blocking(move || {
            let dossier = draft.finish(&procedure, items).map_err(|_changed| {
                Error::new(
                    Code::Storage,
                    "an item on the disk is not the one that was accepted; capture it again",
                )
            })?;
            let now = Timestamp::now();
            keys.seal(dossier, sequence, now).map(|parcel| (parcel, now))
        })
        .await
        .map_err(|_panicked| Error::new(Code::SealFailed, "sealing ended badly; the draft is kept"))??;
        let facts = SealedFacts { title, sealed_at };
        self.shop
            .storage
            .run(move |store| store.seal(&parcel, &facts, &stamp))
            .await?;
        self.open = None;
        self.let_courier_look();
        Ok(())
    }

    pub(super) fn let_courier_look(&self) {
        let courier = self.shop.courier.clone();
        tokio::spawn(async move { courier.look().await });
    }

    pub(super) async fn acknowledge_refusal(&mut self) -> Result<(), Error> {
        let (id, stamp) = (self.id, self.stamp());
        let entry = self.shop.storage.run(move |store| store.entry(id)).await?;
        if entry.state != State::Refused {
            return Err(Error::new(Code::WrongState, "the dossier was not refused"));
        }
        self.shop
            .storage
            .run(move |store| store.acknowledge_refusal(id, &stamp))
            .await
    }

    pub(super) async fn recepisse(&self, locale: &str) -> Result<(String, RecepisseView), Error> {
        if self.open.is_some() {
            return Err(Error::new(
                Code::WrongState,
                "a récépissé is given once the dossier is sealed",
            ));
        }
        let id = self.id;
        let recepisse = self.shop.storage.run(move |store| match store.entry(id)?.sealed {
            Some(_) => store.recepisse(id).map(Some),
            None => Ok(None),
        });
        let recepisse = recepisse.await?.ok_or_else(|| {
            let text = "the draft was destroyed before it was sealed; open a new dossier";
            Error::new(Code::WrongState, text)
        })?;
        let demande = recepisse.demande.as_ref().map(ToString::to_string);
        let text = match (locale.starts_with("fr"), &demande) {
            (true, Some(demande)) => format!("Votre demande est enregistrée sous le numéro {demande}."),
            (true, None) => {
                "Récépissé provisoire : le numéro de votre demande sera communiqué après réception par le CERT."
                    .to_owned()
            }
            (false, Some(demande)) => format!("Your application is registered under number {demande}."),
            (false, None) => {
                "Provisional receipt: the number of your application follows when CERT has received it.".to_owned()
            }
        };
        let view = RecepisseView {
            dossier: recepisse.dossier.to_string(),
            title: recepisse.title,
            sealed_at: recepisse.sealed_at.to_string(),
            sequence: recepisse.sequence,
            demande,
            ingested_at: recepisse.ingested_at.map(|time| time.to_string()),
            text,
        };
        Ok((recepisse.status.as_str().to_owned(), view))
    }

    pub(super) async fn receipts(&self) -> Result<Vec<ReceiptView>, Error> {
        let id = self.id;
        let receipts = self.shop.storage.run(move |store| store.receipts(id)).await?;
        let views = receipts.into_iter().map(|receipt| ReceiptView {
            kind: match receipt.kind {
                ReceiptKind::Stored => "R1",
                ReceiptKind::Ingested => "R2",
                ReceiptKind::Refused => "REJECT",
            }
            .to_owned(),
            bytes: receipt.bytes,
            time: receipt.content.time.to_string(),
        });
        Ok(views.collect())
    }

    /// The properties of a dossier that is sealed or has ended.
    pub(super) async fn look_at_sealed(&self) -> Result<DossierView, Error> {
        let id = self.id;
        let entry = self.shop.storage.run(move |store| store.entry(id)).await?;
        Ok(DossierView {
            id: entry.id.to_string(),
            kind: entry.kind.as_str().to_owned(),
            state: entry.state.as_str().to_owned(),
            procedure: entry.procedure,
            agent: entry.agent.map(String::from).unwrap_or_default(),
            opened_at: entry.opened_at.to_string(),
            demande: entry.demande.map(String::from),
            total_bytes: entry.sealed.map(|sealed| sealed.len_bytes),
            refusal: entry.reason,
            ..DossierView::default()
        })
    }
}
