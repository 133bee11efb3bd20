//! All that the service can be asked. Arguments are parsed; who calls is known; authority was asked.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use recueil_dossier::{AgentId, DemandeNumber, DossierId, FingerPosition, ItemName, MissingReason};
use tokio::sync::oneshot;

use crate::{
    Caller, DestructionView, DossierSummary, Error, Field, ItemView, MissingView, OutboxView, PluginView,
    ReceiptView, RecepisseView, StatusView, StepView,
};

/// Where an answer goes. A caller that is gone is no error.
pub type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// A dossier that can be used: its object path and id.
pub type Opened = (String, DossierId);

/// Asked of the station.
#[derive(Debug)]
pub enum StationCommand {
    /// Says who works at this caller from now on. Legal at any time; replaces the session before.
    OpenAgentSession {
        /// Whose.
        caller: Caller,
        /// Who.
        agent: AgentId,
        /// Done.
        reply: Reply<()>,
    },
    /// Opens a draft. Needs an agent session.
    OpenDossier {
        /// Whose.
        caller: Caller,
        /// The procedure's id.
        procedure: String,
        /// For a hand-over.
        demande: Option<DemandeNumber>,
        /// Client token.
        token: Option<String>,
        /// The draft.
        reply: Reply<Opened>,
    },
    /// Takes a dossier of the same uid and agent over, after a crash or in another program.
    Adopt {
        /// Whose from now on.
        caller: Caller,
        /// Which.
        id: DossierId,
        /// The dossier.
        reply: Reply<Opened>,
    },
    /// Drafts of the caller's uid.
    ListDrafts {
        /// Whose.
        caller: Caller,
        /// Newest first.
        reply: Reply<Vec<DossierSummary>>,
    },
    /// Dossiers of the caller's uid, drafts not included.
    ListDossiers {
        /// Whose.
        caller: Caller,
        /// A state of the table, or none for all.
        state: Option<recueil_dossier::State>,
        /// Where the page before ended, or empty.
        cursor: String,
        /// 1 to 200.
        limit: u32,
        /// A page, and the next cursor or empty.
        reply: Reply<(Vec<DossierSummary>, String)>,
    },
    /// How the station stands.
    Status {
        /// No personal data.
        reply: Reply<StatusView>,
    },
    /// Parcels without a final receipt.
    Outbox {
        /// Oldest first.
        reply: Reply<Vec<OutboxView>>,
    },
    /// Plugin folders.
    ListPlugins {
        /// Admitted or not.
        reply: Reply<Vec<PluginView>>,
    },
    /// Takes a lease.
    Lease {
        /// Whose.
        caller: Caller,
        /// Device id.
        device: String,
        /// Take it from its holder, if he has had it for long enough.
        steal: bool,
        /// Done.
        reply: Reply<()>,
    },
    /// Gives a lease back.
    Release {
        /// Whose.
        caller: Caller,
        /// Device id.
        device: String,
        /// Done.
        reply: Reply<()>,
    },
    /// Ends a device's quarantine.
    LiftQuarantine {
        /// Who says so.
        caller: Caller,
        /// Device id.
        device: String,
        /// Done, durably.
        reply: Reply<()>,
    },
}

/// Asked of one dossier, by its holder.
#[derive(Debug)]
pub enum DossierCommand {
    /// The procedure's steps, in their order.
    Steps(Reply<Vec<StepView>>),
    /// What is missing.
    Missing(Reply<Vec<MissingView>>),
    /// Values.
    Fields(Reply<BTreeMap<String, Field>>),
    /// Sets or, with an empty text, removes a field.
    SetField {
        /// Which.
        name: String,
        /// The value.
        value: String,
        /// Done and durable.
        reply: Reply<()>,
    },
    /// Reads a number from a typed text or a QR code's, fetches the pré-demande, takes it over.
    FetchPreDemande {
        /// Number or address.
        text: String,
        /// Its status word, and fields that could not be taken over.
        reply: Reply<(String, Vec<String>)>,
    },
    /// Records.
    Items(Reply<Vec<ItemView>>),
    /// Destructions of surplus prints.
    Destructions(Reply<Vec<DestructionView>>),
    /// One item's bytes as the client's own sealed memory.
    OpenItem {
        /// Which.
        name: ItemName,
        /// Memory and description.
        reply: Reply<(OwnedFd, ItemView)>,
    },
    /// Removes an item.
    RemoveItem {
        /// Which.
        name: ItemName,
        /// Done and durable.
        reply: Reply<()>,
    },
    /// Starts a capture.
    StartCapture {
        /// Whose.
        caller: Caller,
        /// The step.
        step: String,
        /// The device.
        device: String,
        /// For papers: which. For replacements: taken from the item.
        document: Option<String>,
        /// Go on to the next try without waiting for a command.
        auto_retry: bool,
        /// The item to be replaced.
        replace: Option<ItemName>,
        /// Repeated, it gets the capture that was started first.
        token: Option<String>,
        /// The capture's object path.
        reply: Reply<String>,
    },
    /// A finger that cannot be presented.
    DeclareMissingFinger {
        /// Which.
        position: FingerPosition,
        /// Why; none takes the declaration back.
        reason: Option<MissingReason>,
        /// Done and durable.
        reply: Reply<()>,
    },
    /// A decision of the agent.
    RecordDecision {
        /// Step or paper.
        step: String,
        /// Verdict.
        verdict: String,
        /// In words.
        reason: String,
        /// Done and durable.
        reply: Reply<()>,
    },
    /// Corrects the procedure and keeps what stays valid.
    ChangeProcedure {
        /// The new one.
        procedure: String,
        /// What was dropped.
        reply: Reply<Vec<String>>,
    },
    /// Passes the draft on to another agent.
    Transfer {
        /// To whom.
        agent: AgentId,
        /// Done and durable.
        reply: Reply<()>,
    },
    /// Signs, encrypts and spools. The draft is gone afterwards.
    Seal {
        /// Done and durable.
        reply: Reply<()>,
    },
    /// Gives the draft up; it is destroyed.
    Cancel {
        /// Done and durable.
        reply: Reply<()>,
    },
    /// Confirms that CERT's refusal was read; the parcel is erased.
    AcknowledgeRefusal(Reply<()>),
    /// Data of the récépissé.
    Recepisse {
        /// `fr` or `en`, more is ignored.
        locale: String,
        /// `provisional` or `final`, and the data.
        reply: Reply<(String, RecepisseView)>,
    },
    /// Receipts.
    Receipts(Reply<Vec<ReceiptView>>),
}

/// Asked of one capture, by its holder.
#[derive(Debug)]
pub enum CaptureCommand {
    /// One of the commands allowed now: `retry`, `use-best`, `cancel`.
    Command {
        /// Which.
        command: String,
        /// Taken.
        reply: Reply<()>,
    },
    /// A stream socket with previews.
    Preview(Reply<OwnedFd>),
    /// Values and boxes found so far, one dictionary each.
    Results(Reply<Vec<BTreeMap<String, String>>>),
}
