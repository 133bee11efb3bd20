//! A scan that gives one picture: the photo from a print on the glass, the signature from a sheet.

use recueil_bus::{Code, Error};
use recueil_dossier::Content;
use recueil_wire::analyser::Assessment;

use super::control::Control;
use super::scans::{keep_one, measured, until_accepted};
use super::session::Session;
use super::{Gift, Gifts, Order, Scan, give};

/// Scans until the analyser accepts what `content` says, and gives it to the dossier as its item `name`.
pub(super) async fn capture(
    session: &mut Session<'_>,
    order: &Order,
    scan: Scan,
    (name, content): (&str, Content),
    gifts: &Gifts,
    control: &mut Control,
) -> Result<(), Error> {
    let tried = until_accepted(session, order, scan, control).await?;
    let ((Assessment::Photo { criteria }, Content::Face)
    | (Assessment::Signature { criteria }, Content::Signature)) = (&tried.assessment, &content)
    else {
        return Err(Error::new(
            Code::AnalyserEnded,
            "the analyser answered for something else",
        ));
    };
    for criterion in criteria {
        control.found(measured(criterion));
    }
    let item = keep_one(session, order, tried.req, name, content, control).await?;
    give(
        gifts,
        Gift::Items {
            items: vec![item],
            selection: None,
            surplus: Vec::new(),
        },
    )
    .await
}
