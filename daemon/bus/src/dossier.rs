//! `fr.recueil.Dossier1`, one object a dossier in use, answering its holder only.

#![expect(
    clippy::needless_pass_by_value,
    reason = "zbus gives a property's header by value"
)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use recueil_dossier::{FingerPosition, MissingReason};
use tokio::sync::{mpsc, watch};
use zbus::interface;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{OwnedFd, OwnedObjectPath, OwnedVariant};

use crate::callers::sender;
use crate::gate::{Action, Gate};
use crate::service::ask;
use crate::station::{DEVICE_MAX_BYTES, ID_MAX_BYTES, flag, object_path, only, option, parse, short, token};
use crate::{
    Caller, Code, DestructionView, DossierCommand, DossierView, Error, Field, ItemView, MissingView,
    ReceiptView, RecepisseView, StepView,
};

/// One dossier in use.
pub(crate) struct Dossier {
    pub(crate) holder: Caller,
    pub(crate) view: watch::Receiver<DossierView>,
    pub(crate) commands: mpsc::Sender<DossierCommand>,
    pub(crate) gate: Arc<Gate>,
}

/// Longest value, reason or content of a QR code, bytes; the procedure's own limits are in characters, and lower.
const TEXT_MAX_BYTES: usize = 4096;

/// Refuses everybody but the holder.
pub(crate) fn own(holder: &Caller, header: &Header<'_>) -> Result<(), Error> {
    if sender(header)? == holder.name {
        return Ok(());
    }
    Err(Error::new(
        Code::NotOwner,
        "this is somebody else's; a dossier of the same user can be adopted by its id",
    ))
}

/// What `StartCapture` is asked for.
#[derive(Debug)]
pub(crate) struct StartWanted {
    pub(crate) step: String,
    pub(crate) device: String,
    pub(crate) document: Option<String>,
    pub(crate) auto_retry: bool,
    pub(crate) token: Option<String>,
}

impl StartWanted {
    pub(crate) fn parse(
        step: &str,
        device: &str,
        options: &HashMap<String, OwnedVariant>,
    ) -> Result<Self, Error> {
        only(options, &["document", "auto-retry", "token"])?;
        Ok(Self {
            step: short("step", step, ID_MAX_BYTES)?,
            device: short("device", device, DEVICE_MAX_BYTES)?,
            document: option(options, "document")?,
            auto_retry: flag(options, "auto-retry")?,
            token: token(options)?,
        })
    }
}

/// A finger by its code, and why it will not come; none takes the declaration back.
pub(crate) fn missing_finger(
    position: u8,
    reason: &str,
) -> Result<(FingerPosition, Option<MissingReason>), Error> {
    let invalid = |text: &str| Error::new(Code::InvalidArgument, text);
    let position = FingerPosition::try_from(position).map_err(invalid)?;
    if position.is_slap() {
        return Err(invalid("one finger is declared, not a hand"));
    }
    let reason = match reason {
        "" => None,
        "amputated" => Some(MissingReason::Amputated),
        "bandaged" => Some(MissingReason::Bandaged),
        "temporary" => Some(MissingReason::Temporary),
        _ => return Err(invalid("reasons are amputated, bandaged and temporary")),
    };
    Ok((position, reason))
}

impl Dossier {
    fn read(&self, header: Option<&Header<'_>>) -> Result<DossierView, Error> {
        if let Some(header) = header {
            own(&self.holder, header)?;
        }
        Ok(self.view.borrow().clone())
    }
}

/// A dossier. Properties are read by its holder only and change with the signal `Changed`, sent to him alone.
#[interface(
    name = "fr.recueil.Dossier1",
    proxy(default_service = "fr.recueil.Station1", visibility = "pub")
)]
impl Dossier {
    /// The steps of the draft's procedure, in their order: id, type (`pre-demande`, `fields`, `documents`, `photo`,
    /// `fingerprints`, `signature`, `decision`), and the names it knows: fields, papers, verdicts, or the reasons
    /// that may stand for a signature.
    async fn steps(&self, #[zbus(header)] header: Header<'_>) -> Result<Vec<StepView>, Error> {
        own(&self.holder, &header)?;
        ask(&self.commands, DossierCommand::Steps).await
    }

    /// What is missing, in the order of the procedure: step, kind of lack, name of the field or paper.
    async fn missing(&self, #[zbus(header)] header: Header<'_>) -> Result<Vec<MissingView>, Error> {
        own(&self.holder, &header)?;
        ask(&self.commands, DossierCommand::Missing).await
    }

    /// The values: value, source (`typed`, `pre-demande`), and what the pré-demande said where it was corrected.
    async fn fields(&self, #[zbus(header)] header: Header<'_>) -> Result<BTreeMap<String, Field>, Error> {
        own(&self.holder, &header)?;
        ask(&self.commands, DossierCommand::Fields).await
    }

    /// Sets a field; an empty text removes it.
    async fn set_field(
        &self,
        #[zbus(header)] header: Header<'_>,
        name: &str,
        value: &str,
    ) -> Result<(), Error> {
        own(&self.holder, &header)?;
        let name = short("name", name, ID_MAX_BYTES)?;
        let value = short("value", value, TEXT_MAX_BYTES)?;
        ask(&self.commands, |reply| DossierCommand::SetField {
            name,
            value,
            reply,
        })
        .await
    }

    /// Fetches the pré-demande by its number, typed or as the QR code holds it. Gives its status (`consumed`:
    /// it was deposited before) and the fields that could not be taken over.
    #[zbus(out_args("status", "refused"))]
    async fn fetch_pre_demande(
        &self,
        #[zbus(header)] header: Header<'_>,
        number: &str,
    ) -> Result<(String, Vec<String>), Error> {
        own(&self.holder, &header)?;
        let text = short("number", number, TEXT_MAX_BYTES)?;
        self.gate.set_aside(&header);
        ask(&self.commands, |reply| DossierCommand::FetchPreDemande {
            text,
            reply,
        })
        .await
    }

    /// The items, without their bytes.
    async fn items(&self, #[zbus(header)] header: Header<'_>) -> Result<Vec<ItemView>, Error> {
        own(&self.holder, &header)?;
        ask(&self.commands, DossierCommand::Items).await
    }

    /// The recorded destructions of prints that were taken and not chosen.
    async fn destructions(&self, #[zbus(header)] header: Header<'_>) -> Result<Vec<DestructionView>, Error> {
        own(&self.holder, &header)?;
        ask(&self.commands, DossierCommand::Destructions).await
    }

    /// An item's bytes, as sealed memory of the caller's own, until the dossier is sealed. Needs the right to
    /// look; that it was given is recorded.
    #[zbus(out_args("memory", "item"))]
    async fn open_item(
        &self,
        #[zbus(header)] header: Header<'_>,
        name: &str,
    ) -> Result<(OwnedFd, ItemView), Error> {
        own(&self.holder, &header)?;
        let name = parse(name)?;
        self.gate.allow(&header, Action::Look, &[]).await?;
        let (memory, view) = ask(&self.commands, |reply| DossierCommand::OpenItem { name, reply }).await?;
        Ok((memory.into(), view))
    }

    /// Removes an item.
    async fn remove_item(&self, #[zbus(header)] header: Header<'_>, name: &str) -> Result<(), Error> {
        own(&self.holder, &header)?;
        let name = parse(name)?;
        ask(&self.commands, |reply| DossierCommand::RemoveItem { name, reply }).await
    }

    /// Starts a capture for a step. Options: `document` (papers: which), `auto-retry` (boolean: go on to the
    /// next try without a command), `token` (repeating it gets the same capture).
    async fn start_capture(
        &self,
        #[zbus(header)] header: Header<'_>,
        step: &str,
        device: &str,
        options: HashMap<String, OwnedVariant>,
    ) -> Result<OwnedObjectPath, Error> {
        own(&self.holder, &header)?;
        let StartWanted {
            step,
            device,
            document,
            auto_retry,
            token,
        } = StartWanted::parse(step, device, &options)?;
        let caller = self
            .gate
            .allow(&header, Action::Collect, &[("device", &device), ("step", &step)])
            .await?;
        let path = ask(&self.commands, |reply| DossierCommand::StartCapture {
            caller,
            step,
            device,
            document,
            auto_retry,
            replace: None,
            token,
            reply,
        })
        .await?;
        object_path(path)
    }

    /// Captures an item again; the old one stays until the new one is accepted. Options: `auto-retry`,
    /// `token`.
    async fn replace_item(
        &self,
        #[zbus(header)] header: Header<'_>,
        name: &str,
        device: &str,
        options: HashMap<String, OwnedVariant>,
    ) -> Result<OwnedObjectPath, Error> {
        own(&self.holder, &header)?;
        only(&options, &["auto-retry", "token"])?;
        let replace = Some(parse(name)?);
        let StartWanted {
            device,
            auto_retry,
            token,
            ..
        } = StartWanted::parse("", device, &options)?;
        let caller = self
            .gate
            .allow(&header, Action::Collect, &[("device", &device)])
            .await?;
        let path = ask(&self.commands, |reply| DossierCommand::StartCapture {
            caller,
            step: String::new(),
            device,
            document: None,
            auto_retry,
            replace,
            token,
            reply,
        })
        .await?;
        object_path(path)
    }

    /// Declares a finger that cannot be presented: its position code (ANSI/NIST-ITL) and `amputated`,
    /// `bandaged`, `temporary`; an empty reason takes the declaration back. A change after the hands were presented
    /// voids their choice: they are presented again.
    async fn declare_missing_finger(
        &self,
        #[zbus(header)] header: Header<'_>,
        position: u8,
        reason: &str,
    ) -> Result<(), Error> {
        own(&self.holder, &header)?;
        let (position, reason) = missing_finger(position, reason)?;
        ask(&self.commands, |reply| DossierCommand::DeclareMissingFinger {
            position,
            reason,
            reply,
        })
        .await
    }

    /// Records a decision of the agent on a step, or leaves a paper or signature out (`absent` and the
    /// procedure's reason).
    async fn record_decision(
        &self,
        #[zbus(header)] header: Header<'_>,
        step: &str,
        verdict: &str,
        reason: &str,
    ) -> Result<(), Error> {
        own(&self.holder, &header)?;
        let step = short("step", step, ID_MAX_BYTES)?;
        let verdict = short("verdict", verdict, ID_MAX_BYTES)?;
        let reason = short("reason", reason, TEXT_MAX_BYTES)?;
        ask(&self.commands, |reply| DossierCommand::RecordDecision {
            step,
            verdict,
            reason,
            reply,
        })
        .await
    }

    /// Corrects the procedure; gives what could not be kept.
    async fn change_procedure(
        &self,
        #[zbus(header)] header: Header<'_>,
        procedure: &str,
    ) -> Result<Vec<String>, Error> {
        own(&self.holder, &header)?;
        let procedure = short("procedure", procedure, ID_MAX_BYTES)?;
        ask(&self.commands, |reply| DossierCommand::ChangeProcedure {
            procedure,
            reply,
        })
        .await
    }

    /// Passes the draft on to another agent of the same user.
    async fn transfer(&self, #[zbus(header)] header: Header<'_>, agent: &str) -> Result<(), Error> {
        own(&self.holder, &header)?;
        let agent = parse(agent)?;
        ask(&self.commands, |reply| DossierCommand::Transfer { agent, reply }).await
    }

    /// Signs, encrypts and queues the dossier; it cannot be read on this station afterwards. Repeating it is
    /// answered as the first time.
    async fn seal(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        own(&self.holder, &header)?;
        let procedure = self.view.borrow().procedure.clone();
        self.gate
            .allow(&header, Action::Seal, &[("procedure", &procedure)])
            .await?;
        ask(&self.commands, |reply| DossierCommand::Seal { reply }).await
    }

    /// Gives the draft up; it is destroyed.
    async fn cancel(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        own(&self.holder, &header)?;
        ask(&self.commands, |reply| DossierCommand::Cancel { reply }).await
    }

    /// Confirms that CERT's refusal was read; the parcel is erased.
    async fn acknowledge_refusal(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        own(&self.holder, &header)?;
        ask(&self.commands, DossierCommand::AcknowledgeRefusal).await
    }

    /// The data of the récépissé: `provisional` from sealing on, `final` with CERT's number. Locale: `fr`, `en`.
    #[zbus(out_args("status", "data"))]
    async fn recepisse(
        &self,
        #[zbus(header)] header: Header<'_>,
        locale: &str,
    ) -> Result<(String, RecepisseView), Error> {
        own(&self.holder, &header)?;
        let locale = locale.chars().take(16).collect();
        ask(&self.commands, |reply| DossierCommand::Recepisse {
            locale,
            reply,
        })
        .await
    }

    /// CERT's receipts, as they were verified.
    async fn receipts(&self, #[zbus(header)] header: Header<'_>) -> Result<Vec<ReceiptView>, Error> {
        own(&self.holder, &header)?;
        ask(&self.commands, DossierCommand::Receipts).await
    }

    /// The dossier changed; all its properties, by their names in kebab-case. Sent to the holder alone.
    #[zbus(signal)]
    pub(crate) async fn changed(emitter: &SignalEmitter<'_>, dossier: DossierView) -> zbus::Result<()>;

    /// UUID.
    #[zbus(property(emits_changed_signal = "false"))]
    fn id(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<String, Error> {
        Ok(self.read(header.as_ref())?.id)
    }

    /// `deposit`, `complement` or `hand-over`.
    #[zbus(property(emits_changed_signal = "false"))]
    fn kind(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<String, Error> {
        Ok(self.read(header.as_ref())?.kind)
    }

    /// A state of the table in ARCHITECTURE.md.
    #[zbus(property(emits_changed_signal = "false"))]
    fn state(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<String, Error> {
        Ok(self.read(header.as_ref())?.state)
    }

    /// The procedure's id.
    #[zbus(property(emits_changed_signal = "false"))]
    fn procedure(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<String, Error> {
        Ok(self.read(header.as_ref())?.procedure)
    }

    /// All properties at once, as `Changed` gives them.
    #[zbus(property(emits_changed_signal = "false"))]
    fn view(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<DossierView, Error> {
        self.read(header.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use zbus::Variant;

    use super::*;

    #[test]
    fn a_captures_token_is_as_narrow_as_a_dossiers() {
        let with = |token: &str| {
            let options = HashMap::from([("token".to_owned(), Variant::from(token).try_into().unwrap())]);
            StartWanted::parse("photo", "virtual-flatbed-SN0003", &options)
        };
        assert_eq!(
            with("guichet-3/17").unwrap().token.as_deref(),
            Some("guichet-3/17")
        );
        for bad in ["", "a b", "é", &"x".repeat(65)] {
            assert_eq!(with(bad).unwrap_err().code, Code::InvalidArgument, "{bad:?}");
        }
    }
}
