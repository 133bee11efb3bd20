//! `plugins`: the plugin folders, and why one is not admitted.

use crate::failure::Failure;
use crate::output::{Report, list, none};
use crate::page::{Cell, Page, Tone};
use crate::session::{Session, call};
use crate::shapes;

pub(crate) async fn run(session: &Session) -> Result<Report, Failure> {
    let plugins = call(session.station.list_plugins()).await?;
    let json = list("plugins", plugins.iter().map(shapes::plugin));
    if plugins.is_empty() {
        return Ok(Report {
            json,
            page: none("plugin; install a package recueil-plugin-*"),
        });
    }
    let rows = plugins.iter().map(|plugin| {
        let verdict = match &plugin.refused {
            None => Cell::new("admitted", Tone::Good),
            Some(why) => Cell::new(format!("refused: {why}"), Tone::Bad),
        };
        vec![
            plugin.id.as_str().into(),
            plugin.version.as_str().into(),
            plugin.name.as_str().into(),
            verdict,
        ]
    });
    let page = Page::default().table(&["id", "version", "name", "verdict"], rows.collect());
    Ok(Report { json, page })
}
