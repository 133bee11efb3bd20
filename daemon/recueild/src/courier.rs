//! What `recueild` asks of `recueil-courier`.

use std::time::Duration;

use recueil_bus::{Code, Error};
use recueil_dossier::{DemandeNumber, PreDemandeNumber};
use recueil_wire::courier::{
    Answer, Call, DemandeStatus, Failure, FailureCode, FromCourier, Progress, Request,
};
use recueil_wire::read_memory;
use zeroize::Zeroizing;

use crate::link::{CallError, Conversation, Link, Sorted};
use crate::receipts::RefusedReceipt;

pub(crate) struct WithCourier;

/// What the courier tells unasked.
#[derive(Debug)]
pub(crate) enum CourierNews {
    Progress(Progress),
    /// Something new lies in `receipts/`.
    Receipt,
}

impl Conversation for WithCourier {
    type Request = Request;
    type Call = Call;
    type Message = FromCourier;
    type Answer = Answer;
    type Failure = Failure;
    type News = CourierNews;

    /// The courier gives CERT up before this.
    const ANSWER_MAX: Duration = Duration::from_mins(2);

    fn greeting() -> Option<Call> {
        None
    }

    fn request(id: u64, call: Call) -> Request {
        Request { id, call }
    }

    fn sort(message: FromCourier) -> Sorted<Answer, Failure, CourierNews> {
        match message {
            FromCourier::Reply { id, answer } => Sorted::Reply(id, answer),
            FromCourier::Progress(progress) => Sorted::News(CourierNews::Progress(progress)),
            FromCourier::Receipt { .. } => Sorted::News(CourierNews::Receipt),
        }
    }
}

/// How the line stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    pub(crate) reachable: Option<bool>,
    pub(crate) trouble: Option<String>,
}

/// Largest envelope with a pré-demande.
const ENVELOPE_MAX_BYTES: u64 = 256 << 10;

/// Calls to the courier.
#[derive(Clone)]
pub(crate) struct Courier(Link<WithCourier>);

impl Courier {
    pub(crate) fn new(link: Link<WithCourier>) -> Self {
        Self(link)
    }

    /// Says that a parcel is ready. The courier looks by itself too, so a loss costs time only.
    pub(crate) async fn look(&self) {
        if self.0.call(Call::Look).await.is_err() {
            tracing::info!("the courier does not answer; the parcel waits for it");
        }
    }

    /// Says that a receipt is not believed, so that the courier takes it away and asks CERT again. A loss costs
    /// time only: the receipt is found again where it lies.
    pub(crate) async fn refuse(&self, refused: RefusedReceipt) {
        let RefusedReceipt {
            dossier,
            kind,
            sha256,
            why,
        } = refused;
        let call = Call::ReceiptRefused {
            dossier,
            kind,
            sha256,
            why,
        };
        if self.0.call(call).await.is_err() {
            tracing::info!(%dossier, "the courier is not told that a receipt is refused");
        }
    }

    /// The envelope with a pré-demande, to be opened with the station's key.
    pub(crate) async fn pre_demande(&self, number: PreDemandeNumber) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (answer, fds) = self
            .0
            .call(Call::PreDemande { number })
            .await
            .map_err(courier_error)?;
        let (Answer::PreDemande { len }, Some(memory)) = (answer, fds.first()) else {
            return Err(unexpected());
        };
        read_memory(memory, len, ENVELOPE_MAX_BYTES).map_err(|_not_memory| unexpected())
    }

    /// Where demandes stand, those CERT knows.
    pub(crate) async fn statuses(&self, demandes: Vec<DemandeNumber>) -> Result<Vec<DemandeStatus>, Error> {
        match self
            .0
            .call(Call::Statuses { demandes })
            .await
            .map_err(courier_error)?
        {
            (Answer::Statuses { statuses }, _) => Ok(statuses),
            _ => Err(unexpected()),
        }
    }

    /// The line and the parcels on it.
    pub(crate) async fn line(&self) -> Result<(Line, Vec<Progress>), Error> {
        match self.0.call(Call::Line).await.map_err(courier_error)? {
            (
                Answer::Line {
                    reachable,
                    trouble,
                    parcels,
                },
                _,
            ) => Ok((Line { reachable, trouble }, parcels)),
            _ => Err(unexpected()),
        }
    }
}

fn unexpected() -> Error {
    Error::new(
        Code::CertUnreachable,
        "the courier gave an answer of another release; restart it",
    )
}

/// The courier is not there, or has nothing to say.
pub(crate) fn silent() -> Error {
    let text = "the courier does not answer; look at `systemctl status recueil-courier`";
    Error::new(Code::CertUnreachable, text)
}

fn courier_error(error: CallError<Failure>) -> Error {
    let CallError::Refused(failure) = error else {
        return silent();
    };
    let code = match failure.code {
        FailureCode::NotConfigured => Code::NotConfigured,
        FailureCode::Unreachable => Code::CertUnreachable,
        FailureCode::NotFound => Code::CertUnknown,
        FailureCode::Refused | FailureCode::Protocol => Code::CertRefused,
    };
    Error::new(code, failure.text)
}
