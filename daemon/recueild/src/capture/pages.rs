//! One page of a paper. A pré-demande's number on it is a result, for the client to fetch it by.

use std::collections::BTreeMap;

use recueil_bus::{Code, Error};
use recueil_dossier::Content;
use recueil_wire::analyser::Assessment;

use super::control::Control;
use super::scans::{keep_one, until_accepted};
use super::session::Session;
use super::{Gift, Gifts, Order, Scan, give};

pub(super) async fn capture(
    session: &mut Session<'_>,
    order: &Order,
    scan: Scan,
    document: &str,
    number: u32,
    gifts: &Gifts,
    control: &mut Control,
) -> Result<(), Error> {
    let tried = until_accepted(session, order, scan, control).await?;
    let Assessment::Pages { pages } = &tried.assessment else {
        return Err(Error::new(
            Code::AnalyserEnded,
            "the analyser answered for something else",
        ));
    };
    for page in pages {
        let found = page
            .pre_demande
            .as_ref()
            .map(|number| ("pre-demande", number.to_string()));
        let result = [
            ("type", "page".to_owned()),
            ("width", page.width.to_string()),
            ("height", page.height.to_string()),
        ];
        let result: BTreeMap<_, _> = result
            .into_iter()
            .chain(found)
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        control.found(result);
    }
    let content = Content::Page {
        document: document.to_owned(),
        number,
    };
    let name = format!("page-{document}-{number}");
    let item = keep_one(session, order, tried.req, &name, content, control).await?;
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
