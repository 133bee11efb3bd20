//! What scans have in common: tries until one is good or the client gives up.

use std::time::Duration;

use recueil_bus::{CaptureState, Code, Detail, Error};
use recueil_dossier::{Content, Criterion, Guidance, Item};
use recueil_wire::analyser::{Assessment, Pick};

use super::control::Control;
use super::session::{Kept, Session, Tried, Try, scan_params};
use super::{Order, Scan, item_name, provenance};

/// Tries of a scan that follow each other without a command.
const AUTO_TRIES: u32 = 3;
/// A capture that waits for a person who went away must not keep the device.
const SCANS_MAX: Duration = Duration::from_mins(15);

/// Scans until the analyser accepts, at most for [`SCANS_MAX`]. Not accepted: the reasons as guidance, and `retry`
/// is awaited.
pub(super) async fn until_accepted(
    session: &mut Session<'_>,
    order: &Order,
    scan: Scan,
    control: &mut Control,
) -> Result<Tried, Error> {
    tokio::time::timeout(SCANS_MAX, tries(session, order, scan, control))
        .await
        .unwrap_or_else(|_elapsed| {
            let text = "the session's time is over and the device is free again; begin again";
            Err(Error::new(Code::Timeout, text))
        })
}

async fn tries(
    session: &mut Session<'_>,
    order: &Order,
    scan: Scan,
    control: &mut Control,
) -> Result<Tried, Error> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        control.attempt(attempt, 0, None).await;
        let one = Try {
            params: scan_params(scan, session.config()),
            position: None,
            missing: [].into(),
        };
        let tried = session.attempt(one, control).await?;
        let Assessment::Refused { guidance, criteria } = &tried.assessment else {
            return Ok(tried);
        };
        for criterion in criteria {
            control.found(measured(criterion));
        }
        for reason in guidance {
            control.guide(*reason, Detail::new()).await;
        }
        if order.auto_retry {
            let reason = guidance.first().map_or("nothing", |reason| reason.code());
            if attempt >= AUTO_TRIES || guidance.is_empty() {
                let text = format!("the scan cannot be used: {reason}; correct it and scan again");
                return Err(Error::new(Code::Timeout, text).with("guidance", reason));
            }
            control.guide(Guidance::TryAgain, Detail::new()).await;
            continue;
        }
        control.enter(CaptureState::Waiting, &["retry", "cancel"]).await;
        session.command(control).await?;
    }
}

/// Has the one record of a try encoded and makes it an item.
pub(super) async fn keep_one(
    session: &mut Session<'_>,
    order: &Order,
    req: u64,
    name: &str,
    content: Content,
    control: &mut Control,
) -> Result<Item, Error> {
    control.enter(CaptureState::Storing, &[]).await;
    let pick = Pick {
        req,
        position: None,
        result: 0,
    };
    let kept = session.keep(vec![pick]).await?.pop();
    let Some(Kept {
        media_type,
        criteria,
        payload,
        ..
    }) = kept
    else {
        return Err(Error::new(
            Code::AnalyserEnded,
            "the analyser kept nothing; scan again",
        ));
    };
    let provenance = provenance(session, order);
    Ok(Item::new(
        item_name(name)?,
        &order.step,
        content,
        media_type,
        criteria,
        provenance,
        payload,
    ))
}

/// A criterion for the client.
pub(super) fn measured(criterion: &Criterion) -> std::collections::BTreeMap<String, String> {
    let threshold = criterion
        .threshold
        .map(|threshold| ("threshold", threshold.to_string()));
    [
        ("type", "criterion".to_owned()),
        ("code", criterion.code.clone()),
        ("value", criterion.value.to_string()),
        ("pass", criterion.pass.to_string()),
    ]
    .into_iter()
    .chain(threshold)
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}
