//! The life of a dossier, as a table. The documentation, the bus and the tests read it from here.

use serde::{Deserialize, Serialize};

use crate::draft::Kind;

/// Where a dossier stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Being collected; kept encrypted on the station.
    Draft,
    /// Complete, waiting for the agent's card.
    ToSign,
    /// Signed and encrypted; the station cannot read it again.
    Sealed,
    /// On its way.
    Sending,
    /// CERT has it durably (R1).
    Stored,
    /// CERT opened, verified and ingested it (R2).
    Ingested,
    /// CERT refused it; an agent must acknowledge.
    Refused,
    /// Given up before sealing; destroyed.
    Cancelled,
    /// Not finished in time; destroyed.
    Expired,
    /// CERT examines the demande.
    InInstruction,
    /// CERT asks for a complement, which is a dossier of its own.
    Complement,
    /// The title is being made.
    Production,
    /// The title is at the town hall.
    Available,
    /// The title was handed over.
    HandedOver,
}

impl State {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 14] = [
        Self::Draft,
        Self::ToSign,
        Self::Sealed,
        Self::Sending,
        Self::Stored,
        Self::Ingested,
        Self::Refused,
        Self::Cancelled,
        Self::Expired,
        Self::InInstruction,
        Self::Complement,
        Self::Production,
        Self::Available,
        Self::HandedOver,
    ];

    /// The name on the bus and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::ToSign => "to-sign",
            Self::Sealed => "sealed",
            Self::Sending => "sending",
            Self::Stored => "stored",
            Self::Ingested => "ingested",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::InInstruction => "in-instruction",
            Self::Complement => "complement",
            Self::Production => "production",
            Self::Available => "available",
            Self::HandedOver => "handed-over",
        }
    }

    /// Reads the name back.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The event by which CERT's status word for a demande moves a dossier of it; none for a word that is not known,
    /// or does not concern it.
    ///
    /// A hand-over hears of its own end alone: an answer that was on its way when CERT took it in still says
    /// `available`, and is older than its R2.
    pub fn event_of_cert_status(kind: Kind, word: &str) -> Option<Event> {
        if kind == Kind::HandOver && word != "handed-over" {
            return None;
        }
        Some(match word {
            "in-instruction" => Event::InstructionBegan,
            "complement" => Event::ComplementAsked,
            "production" => Event::ProductionBegan,
            "available" => Event::TitleArrived,
            "handed-over" => Event::TitleHandedOver,
            "refused" => Event::DemandeRefused,
            _ => return None,
        })
    }
}

/// What happens to a dossier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// An agent gives the draft up.
    Cancelled,
    /// The draft's time is over.
    TimePassed,
    /// The draft is complete, and a card must sign first.
    SignatureAwaited,
    /// The parcel is written.
    SealWritten,
    /// The courier began to send.
    UploadStarted,
    /// R1 was verified.
    StoredReceipt,
    /// R2 was verified.
    IngestedReceipt,
    /// A signed refusal was verified.
    RefusalReceipt,
    /// CERT's status: in instruction.
    InstructionBegan,
    /// CERT's status: complement.
    ComplementAsked,
    /// CERT's status: production.
    ProductionBegan,
    /// CERT's status: available at the town hall.
    TitleArrived,
    /// CERT's status, or the hand-over ingested.
    TitleHandedOver,
    /// CERT's status: the demande is refused.
    DemandeRefused,
}

/// Who brings an event about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// The agent, through station software.
    Agent,
    /// `recueild` itself.
    Station,
    /// The courier.
    Courier,
    /// CERT, by a signed receipt or a status.
    Cert,
}

/// What must be on the disk before the new state is told to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durable {
    /// The state row.
    Row,
    /// The dossier's key destroyed, then the row.
    KeyDestroyed,
    /// The parcel in `ready/`, then the row, then the dossier's key destroyed.
    ParcelThenKeyDestroyed,
    /// The receipt archived, then the row.
    ReceiptThenRow,
    /// The receipt archived, then the row, then the parcel erased.
    ReceiptThenParcelErased,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// From where.
    pub from: State,
    /// By what.
    pub event: Event,
    /// To where.
    pub to: State,
    /// By whom.
    pub actor: Actor,
    /// What is made durable first.
    pub durable: Durable,
}

const fn line(from: State, event: Event, to: State, actor: Actor, durable: Durable) -> Transition {
    Transition {
        from,
        event,
        to,
        actor,
        durable,
    }
}

/// Every transition there is. Receipts may overtake each other and statuses may skip steps, so each arrow
/// that the line can produce is written out; what is not here is refused.
pub const TRANSITIONS: &[Transition] = {
    use Actor::{Agent, Cert, Courier, Station};
    use Durable::{KeyDestroyed, ParcelThenKeyDestroyed, ReceiptThenParcelErased, ReceiptThenRow, Row};
    use Event::{
        ComplementAsked, DemandeRefused, IngestedReceipt, InstructionBegan, ProductionBegan, RefusalReceipt,
        SealWritten, SignatureAwaited, StoredReceipt, TimePassed, TitleArrived, TitleHandedOver,
        UploadStarted,
    };
    use State::{
        Available, Complement, Draft, Expired, HandedOver, InInstruction, Ingested, Production, Refused,
        Sealed, Sending, Stored, ToSign,
    };
    &[
        line(Draft, SignatureAwaited, ToSign, Agent, Row),
        line(Draft, SealWritten, Sealed, Agent, ParcelThenKeyDestroyed),
        line(Draft, Event::Cancelled, State::Cancelled, Agent, KeyDestroyed),
        line(Draft, TimePassed, Expired, Station, KeyDestroyed),
        line(ToSign, SealWritten, Sealed, Agent, ParcelThenKeyDestroyed),
        line(ToSign, Event::Cancelled, State::Cancelled, Agent, KeyDestroyed),
        line(ToSign, TimePassed, Expired, Station, KeyDestroyed),
        line(Sealed, UploadStarted, Sending, Courier, Row),
        line(Sealed, StoredReceipt, Stored, Cert, ReceiptThenRow),
        line(Sealed, IngestedReceipt, Ingested, Cert, ReceiptThenParcelErased),
        line(Sealed, RefusalReceipt, Refused, Cert, ReceiptThenRow),
        line(Sending, StoredReceipt, Stored, Cert, ReceiptThenRow),
        line(Sending, IngestedReceipt, Ingested, Cert, ReceiptThenParcelErased),
        line(Sending, RefusalReceipt, Refused, Cert, ReceiptThenRow),
        line(Stored, IngestedReceipt, Ingested, Cert, ReceiptThenParcelErased),
        line(Stored, RefusalReceipt, Refused, Cert, ReceiptThenRow),
        line(Ingested, InstructionBegan, InInstruction, Cert, Row),
        line(Ingested, ComplementAsked, Complement, Cert, Row),
        line(Ingested, ProductionBegan, Production, Cert, Row),
        line(Ingested, TitleArrived, Available, Cert, Row),
        line(Ingested, TitleHandedOver, HandedOver, Cert, Row),
        line(Ingested, DemandeRefused, Refused, Cert, Row),
        line(InInstruction, ComplementAsked, Complement, Cert, Row),
        line(InInstruction, ProductionBegan, Production, Cert, Row),
        line(InInstruction, TitleArrived, Available, Cert, Row),
        line(InInstruction, TitleHandedOver, HandedOver, Cert, Row),
        line(InInstruction, DemandeRefused, Refused, Cert, Row),
        line(Complement, InstructionBegan, InInstruction, Cert, Row),
        line(Complement, ProductionBegan, Production, Cert, Row),
        line(Complement, TitleArrived, Available, Cert, Row),
        line(Complement, DemandeRefused, Refused, Cert, Row),
        line(Production, TitleArrived, Available, Cert, Row),
        line(Production, TitleHandedOver, HandedOver, Cert, Row),
        line(Available, TitleHandedOver, HandedOver, Cert, Row),
    ]
};

/// An event that may not happen in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a dossier in state {} cannot go on by {event:?}", .from.as_str())]
pub struct Refused {
    /// The state.
    pub from: State,
    /// The event.
    pub event: Event,
}

/// The state that follows, and who may bring it about.
pub fn next(from: State, event: Event) -> Result<(State, Actor), Refused> {
    TRANSITIONS
        .iter()
        .find(|line| line.from == from && line.event == event)
        .map(|line| (line.to, line.actor))
        .ok_or(Refused { from, event })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_over_hears_of_its_own_end_alone() {
        for word in [
            "in-instruction",
            "complement",
            "production",
            "available",
            "refused",
        ] {
            assert!(
                State::event_of_cert_status(Kind::Deposit, word).is_some(),
                "{word}"
            );
            assert_eq!(State::event_of_cert_status(Kind::HandOver, word), None, "{word}");
        }
        for kind in [Kind::Deposit, Kind::HandOver] {
            let event = State::event_of_cert_status(kind, "handed-over");
            assert_eq!(event, Some(Event::TitleHandedOver));
            assert_eq!(State::event_of_cert_status(kind, "lost"), None);
        }
    }

    #[test]
    fn the_table_is_a_function() {
        for (index, line) in TRANSITIONS.iter().enumerate() {
            let twice = TRANSITIONS[index + 1..]
                .iter()
                .any(|o| o.from == line.from && o.event == line.event);
            assert!(!twice, "{line:?} stands twice");
        }
    }

    #[test]
    fn every_state_can_be_reached_from_a_draft() {
        let mut reached = vec![State::Draft];
        while let Some(line) = TRANSITIONS
            .iter()
            .find(|line| reached.contains(&line.from) && !reached.contains(&line.to))
        {
            reached.push(line.to);
        }
        for state in State::ALL {
            assert!(reached.contains(&state), "{state:?} is never reached");
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
    }

    #[test]
    fn a_parcel_is_erased_only_by_the_final_receipt() {
        for line in TRANSITIONS
            .iter()
            .filter(|line| line.durable == Durable::ReceiptThenParcelErased)
        {
            assert_eq!(line.event, Event::IngestedReceipt);
        }
    }

    #[test]
    fn nothing_leads_back_to_a_draft() {
        assert!(TRANSITIONS.iter().all(|line| line.to != State::Draft));
        assert!(
            next(State::Sealed, Event::Cancelled).is_err(),
            "what is sealed cannot be cancelled"
        );
    }
}
