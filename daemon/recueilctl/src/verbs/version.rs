//! `version`: of this program, and of the station where there is one.

use serde_json::json;

use crate::args::Global;
use crate::failure::Failure;
use crate::output::Report;
use crate::page::Page;
use crate::session::{Session, call};

pub(crate) async fn run(global: &Global) -> Result<Report, Failure> {
    let own = env!("CARGO_PKG_VERSION");
    let station = station(global).await.ok();
    let shown = station.clone().unwrap_or_else(|| "not running".to_owned());
    Ok(Report {
        json: json!({ "recueilctl": own, "recueild": station }),
        page: Page::default().pairs(vec![
            ("recueilctl", Some(own.into())),
            ("recueild", Some(shown.into())),
        ]),
    })
}

async fn station(global: &Global) -> Result<String, Failure> {
    let session = Session::connect(global).await?;
    call(session.station.version()).await
}
