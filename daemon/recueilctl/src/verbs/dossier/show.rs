//! `dossier show`.

use clap::Args;
use recueil_bus::{DossierView, ItemView};
use serde_json::{Value, json};

use crate::args::DossierName;
use crate::failure::Failure;
use crate::output::Report;
use crate::page::{Cell, Page};
use crate::session::{Held, Session, call};
use crate::shapes;

/// Which, and how much of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    dossier: DossierName,
    /// The values of its fields too; they are personal data
    #[arg(long)]
    fields: bool,
}

pub(crate) async fn run(arguments: &Arguments, session: &Session) -> Result<Report, Failure> {
    let dossier = session.dossier(&arguments.dossier.dossier).await?;
    let view = dossier.view().await?;
    let first = Report {
        json: json!({ "dossier": shapes::dossier(&view) }),
        page: facts(&view),
    };
    let rest = match view.state.as_str() {
        "draft" | "to-sign" => draft(&dossier, arguments.fields).await?,
        "cancelled" | "expired" => Vec::new(),
        _ => sealed(&dossier).await?,
    };
    Ok(rest.into_iter().fold(first, |mut report, (name, json, page)| {
        if let Value::Object(entries) = &mut report.json {
            entries.insert(name.to_owned(), json);
        }
        Report {
            json: report.json,
            page: report.page.and(page),
        }
    }))
}

type Part = (&'static str, Value, Page);

fn facts(view: &DossierView) -> Page {
    let text = |value: &Option<String>| value.as_deref().map(Cell::from);
    Page::default().pairs(vec![
        ("dossier", Some(view.id.as_str().into())),
        ("kind", Some(view.kind.as_str().into())),
        ("state", Some(shapes::state(&view.state))),
        ("procedure", Some(view.procedure.as_str().into())),
        (
            "agent",
            Some(view.agent.as_str().into()).filter(|_| !view.agent.is_empty()),
        ),
        ("opened", Some(shapes::time(&view.opened_at))),
        ("expires", view.expires_at.as_deref().map(shapes::time)),
        ("pré-demande", text(&view.pre_demande)),
        ("demande", text(&view.demande)),
        ("missing", view.missing.map(|count| count.to_string().into())),
        (
            "sent",
            view.sent_bytes
                .zip(view.total_bytes)
                .map(|(sent, total)| shapes::sent(sent, total)),
        ),
        ("refusal", text(&view.refusal)),
    ])
}

async fn draft(dossier: &Held, with_fields: bool) -> Result<Vec<Part>, Failure> {
    let steps = call(dossier.proxy.steps()).await?;
    let json = steps
        .iter()
        .map(|(id, kind, names)| json!({ "step": id, "type": kind, "names": names }))
        .collect();
    let rows = steps
        .iter()
        .map(|(id, kind, names)| vec![id.as_str().into(), kind.as_str().into(), names.join(" ").into()]);
    let mut parts = vec![(
        "steps",
        json,
        Page::default().table(&["step", "type", "names"], rows.collect()),
    )];
    let items = call(dossier.proxy.items()).await?;
    let rows = items.iter().map(row).collect();
    let page = Page::default().table(&["item", "step", "type", "bytes", "device", "captured"], rows);
    parts.push(("items", items.iter().map(shapes::item).collect(), page));
    if with_fields {
        let fields = call(dossier.proxy.fields()).await?;
        let json = fields.iter().map(|(name, field)| {
            let value = json!({ "value": field.value, "source": field.source, "corrects": field.corrects });
            (name.clone(), value)
        });
        let rows = fields.iter().map(|(name, field)| {
            [name, &field.value, &field.source, &field.corrects]
                .map(|text| Cell::from(text.as_str()))
                .to_vec()
        });
        let page = Page::default().table(&["field", "value", "source", "corrects"], rows.collect());
        parts.push(("fields", Value::Object(json.collect()), page));
    }
    Ok(parts)
}

fn row(item: &ItemView) -> Vec<Cell> {
    vec![
        item.name.as_str().into(),
        item.step.as_str().into(),
        item.media_type.as_str().into(),
        item.len_bytes.to_string().into(),
        item.device.as_str().into(),
        shapes::time(&item.captured_at),
    ]
}

async fn sealed(dossier: &Held) -> Result<Vec<Part>, Failure> {
    let receipts = call(dossier.proxy.receipts()).await?;
    let json = receipts
        .iter()
        .map(|receipt| json!({ "kind": receipt.kind, "time": receipt.time }))
        .collect();
    let rows = receipts
        .iter()
        .map(|receipt| vec![receipt.kind.as_str().into(), shapes::time(&receipt.time)]);
    let receipts = (
        "receipts",
        json,
        Page::default().table(&["receipt", "of"], rows.collect()),
    );
    let (status, data) = call(dossier.proxy.recepisse("en")).await?;
    let page = Page::default().pairs(vec![(
        "récépissé",
        Some(format!("{status}: {}", data.text).into()),
    )]);
    Ok(vec![
        receipts,
        ("recepisse", shapes::recepisse(&status, &data), page),
    ])
}
